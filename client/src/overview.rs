//! All that is known of a cluster and its nodes: from the registry, and from observing etcd.

mod clock;
mod health;
mod moved;
mod observers;
mod text;
mod waiting;

use convene_lifecycle::{ClusterId, MemberName};
use serde::Serialize;

use crate::{
    command_error::CommandError,
    connections::Failures,
    registry::{Cluster, Member, Members, Node, Nodes, ObservedMember, Verbatim, View},
    target::Target,
};

pub use clock::{Clock, age_of};
pub use health::Health;
pub use observers::{is_present, observers};
pub use text::{member_table, policy_line, to_text, yes_or_no};

/// A cluster with its members and nodes.
#[derive(Serialize)]
pub struct Overview {
    /// The cluster.
    pub cluster: Verbatim<Cluster>,
    /// Its members.
    pub members: Vec<Verbatim<Member>>,
    /// The members that were removed, in the order in which they were added.
    #[serde(skip)]
    pub former_members: Vec<Member>,
    /// The nodes that check in.
    pub nodes: Vec<Verbatim<Node>>,
    /// Whether everybody who reaches the server may administer it.
    #[serde(rename = "server_exposed")]
    pub is_exposed: bool,
    /// What this command has seen of etcd; `None` if it has not observed etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// Why this command could not read etcd's list through the quorum.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub failures: Option<Failures>,
}

impl Overview {
    /// Reads what the registry knows, with removed members if asked.
    pub async fn read(target: &Target, removed: bool) -> Result<Self, CommandError> {
        let Members { mut members } = target.get("/members?removed=true").await?;
        let former_members = members.iter().filter(|member| member.value.removed).map(|member| member.value.clone());
        let former_members = former_members.collect();
        members.retain(|member| removed || !member.value.removed);
        let nodes = match target.registry.get::<Nodes>(&target.path("/nodes")).await {
            Ok(Nodes { nodes }) => nodes,
            // A server of an earlier version has no such list.
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(target.explain(error)),
        };
        let is_exposed = target.registry.is_exposed().await;
        let cluster = target.cluster.clone();
        Ok(Self { cluster, members, former_members, nodes, is_exposed, view: None, failures: None })
    }

    /// The node of a member: the one that has its data, or else the one that has its name.
    pub fn node_of(&self, member: &Member) -> Option<&Node> {
        let nodes = || self.nodes.iter().map(|node| &node.value);
        let has_data = |node: &&Node| node.member_id.as_deref() == Some(member.id.as_str());
        nodes().find(has_data).or_else(|| nodes().find(|node| node.name == member.name))
    }

    /// The nodes without data that are no member's.
    pub fn spares(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.nodes.iter().map(|node| &node.value);
        nodes.filter(|node| node.member_id.is_none() && !self.has_member(&node.name))
    }

    /// Whether a present member has the name.
    fn has_member(&self, name: &MemberName) -> bool {
        self.members.iter().any(|member| !member.value.removed && member.value.name == *name)
    }

    /// Whether a spare could take a place now.
    pub fn has_ready_spare(&self, clock: Clock) -> bool {
        self.spares().any(|spare| is_present(self, spare, clock) && !self.is_evicted(spare))
    }

    /// Whether the last member with the name of a spare was evicted, so that the spare gets no place.
    pub fn is_evicted(&self, spare: &Node) -> bool {
        let last = self.former_members.iter().rfind(|member| member.name == spare.name);
        last.is_some_and(|member| member.evicted_at.is_some())
    }

    /// The other etcd cluster that has answered although none of this one has: it may have got the addresses of members that are
    /// down, while this cluster elects a leader.
    pub fn other_cluster(&self) -> Option<ClusterId> {
        let (own, seen) = (self.cluster.value.cluster_id?, self.view.as_ref()?.cluster_id?);
        (seen != own).then_some(seen)
    }

    /// Whether this command has asked the members, and no etcd has answered. What they have reported shortly before may be over.
    pub fn nobody_answers(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.cluster_id.is_none() && view.members.is_empty())
    }

    /// What this command has seen of a member, if it has read a list.
    pub fn observed(&self, member: &Member) -> Option<&ObservedMember> {
        let view = self.view.as_ref()?;
        view.members.iter().find(|observed| observed.id.to_string() == member.id.as_str())
    }
}

fn as_text<S: serde::Serializer>(failures: &Option<Failures>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(failures.as_ref().expect("it is skipped if there is none"))
}

#[cfg(test)]
impl Overview {
    /// What the registry says, without a look at etcd.
    pub fn of(cluster: &serde_json::Value, members: &[serde_json::Value], nodes: &[serde_json::Value]) -> Self {
        let list = |items: &[serde_json::Value]| serde_json::Value::from(items.to_vec()).to_string();
        Self {
            cluster: serde_json::from_str(&cluster.to_string()).unwrap(),
            members: serde_json::from_str(&list(members)).unwrap(),
            former_members: Vec::new(),
            nodes: serde_json::from_str(&list(nodes)).unwrap(),
            is_exposed: false,
            view: None,
            failures: None,
        }
    }
}
