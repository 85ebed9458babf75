use crate::{
    Cluster, ClusterId, MemberName, Protocol, Transition, UnixMillis, cluster_draft::ClusterDraft,
    described_names::described_names,
};

/// Why nobody may found the cluster now: another one may exist. It ends when a node shows which cluster exists, or when
/// an administrator [adopts](Cluster::adopt) a cluster or [resets](Cluster::reset) this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Since when.
    pub since: UnixMillis,
    /// What shows that another cluster may exist.
    pub reason: HoldReason,
    /// The node that reported it. `None` if the registry itself found it.
    pub node: Option<MemberName>,
    /// The etcd cluster that may exist, if it is known.
    pub cluster: Option<ClusterId>,
}

impl Held {
    /// What was seen, and by which node, for messages.
    pub fn what_was_seen(&self) -> String {
        let node = self.node.as_ref().map_or("a node", |node| node.as_str());
        let cluster =
            self.cluster.map_or_else(|| "an unknown etcd cluster".to_owned(), |id| format!("etcd cluster {id}"));
        match self.reason {
            HoldReason::DataReported => {
                format!("{node} has reported data of {cluster}, which this registry does not know")
            }
            HoldReason::ClusterAnswers => {
                format!("{node} has found {cluster}, which this registry does not know")
            }
            HoldReason::NewerView => {
                format!("{node} has seen a later state of this cluster than the registry has on record")
            }
            HoldReason::DisksMissing => format!(
                "founders that were instructed to bootstrap have no data now, and their data directories or disks have \
                 changed since then ({node} reported this last)"
            ),
            HoldReason::StoreWentBack => "the registry's database is an older copy, or may be one".to_owned(),
        }
    }
}

// scripts/generate writes them to docs/reference/lifecycle.md.
described_names! {
    /// What shows that another cluster may exist. The names are part of the API and stay.
    pub enum HoldReason {
        DataReported "data_reported" "A node has data that does not belong to this cluster.";
        ClusterAnswers "cluster_answers" "Another etcd cluster answers a node, at the node's own address or before any node has registered.";
        NewerView "newer_view" "A node knows a later revision of this cluster than the registry.";
        DisksMissing "disks_missing" "Founders that may have bootstrapped the cluster have no data, and are on other disks than before.";
        StoreWentBack "store_went_back" "The registry's database is an older copy, or may be one.";
    }
}

/// Why a text is not a [`HoldReason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a reason to hold the forming of a cluster")]
pub struct UnknownHoldReason(String);

impl std::str::FromStr for HoldReason {
    type Err = UnknownHoldReason;

    fn from_str(text: &str) -> Result<Self, UnknownHoldReason> {
        let found = Self::ALL.iter().find(|reason| reason.as_str() == text);
        found.copied().ok_or_else(|| UnknownHoldReason(text.to_owned()))
    }
}

impl Cluster {
    /// Holds the founding of the cluster because the registry's database is, or may be, an older copy: the cluster may have formed
    /// in the time that was lost. `None` if nothing changes.
    pub fn hold_after_going_back(&self, at: UnixMillis) -> Option<Transition> {
        if self.is_founded() || self.held.is_some() {
            return None;
        }
        let mut draft = ClusterDraft::new(self, at);
        draft.hold(HoldReason::StoreWentBack, None, None);
        draft.finish()
    }

    /// Whether the etcd cluster exists, or is founded by etcds that the registry has no influence on any more.
    pub fn is_founded(&self) -> bool {
        let by_discovery = self.protocol.is_some_and(|protocol| protocol != Protocol::CheckIn);
        self.bootstrapped.is_some() || (self.formed.is_some() && by_discovery)
    }
}
