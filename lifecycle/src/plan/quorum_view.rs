use super::Planner;
use crate::{Instruction, Member, MemberId, ObservedMember, Reason, View};

/// A look at the cluster that decisions can rest on: it was made through the quorum, and the registry's record
/// agrees with it.
#[derive(Clone, Copy)]
pub(super) struct QuorumView<'a> {
    view: &'a View,
    /// The member that looks, if it runs: it reaches itself.
    own: Option<MemberId>,
}

impl QuorumView<'_> {
    /// Whether a member answered just now.
    pub fn is_up(&self, member: &Member) -> bool {
        self.seen(member).is_some_and(|seen| seen.reachable || Some(seen.id) == self.own)
    }

    /// Whether a member leads.
    pub fn leads(&self, member: &Member) -> bool {
        member.key.id().is_some_and(|id| self.view.leader == Some(id))
    }

    /// How far a member has applied the log.
    pub fn applied(&self, member: &Member) -> Option<u64> {
        self.seen(member)?.applied_index
    }

    fn seen(&self, member: &Member) -> Option<&ObservedMember> {
        let id = member.key.id()?;
        self.view.members.iter().find(|seen| seen.id == id)
    }
}

impl<'a> Planner<'a> {
    /// The node's look at the cluster, or what the node has to do first.
    pub(super) fn quorum_view(&self) -> Result<QuorumView<'a>, Box<Instruction>> {
        let Some(view) = &self.report.view else {
            return Err(Box::new(self.observe("a look at the cluster is needed to decide")));
        };
        // A cluster whose ID is not known would have been taken over by now if the list had any of its members.
        let is_known = self.draft.cluster_id.is_some() || view.linearizable;
        if view.cluster.is_some() && is_known && view.cluster != self.draft.cluster_id {
            let message = "what answers at the members' addresses is another etcd cluster";
            return Err(Box::new(self.wait(Reason::ForeignCluster, message)));
        }
        let own = self.report.identity().filter(|_| self.report.is_running()).map(|own| own.member);
        let quorum_view = QuorumView { view, own };
        if !view.linearizable || view.leader.is_none() {
            return Err(Box::new(self.no_quorum(&quorum_view)));
        }
        if !self.agrees(view) {
            return Err(Box::new(self.observe("the registry has learnt of a change since this look began")));
        }
        Ok(quorum_view)
    }

    /// Whether so many other voters answer that they need nobody else for a leader, even if they have none right now.
    pub(super) fn others_can_elect(&self, own: &Member) -> bool {
        let Some(view) = self.report.view.as_ref().filter(|view| view.cluster == self.draft.cluster_id) else {
            return false;
        };
        let view = QuorumView { view, own: None };
        let up = self.draft.voters().filter(|voter| voter.key != own.key && view.is_up(voter)).count();
        up >= self.draft.quorum()
    }

    fn no_quorum(&self, view: &QuorumView<'_>) -> Instruction {
        let silent = self.draft.voters().filter(|member| !view.is_up(member));
        let silent: Vec<String> = silent.map(|member| format!("{} ({})", member.name(), member.key)).collect();
        let who = match silent.len() {
            0 => "the members answer but have no leader".to_owned(),
            _ => format!("no answer from {}", silent.join(", ")),
        };
        self.wait(Reason::NoQuorum, format!("the cluster has no quorum that can be seen from here: {who}"))
    }

    /// Whether the record shows the members that the view shows, in the same roles and at the same addresses.
    fn agrees(&self, view: &View) -> bool {
        let members = view.members.iter().all(|seen| {
            let member = self.draft.member(&seen.id.into());
            member.is_some_and(|member| member.role == seen.role() && member.has_peer_urls(&seen.peer_urls))
        });
        members && self.draft.members().count() == view.members.len()
    }
}
