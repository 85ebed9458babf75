use convene_lifecycle::{
    ClientUrl, ClusterId, DiskId, EtcdVersion, Identity, MemberId, MemberName, NodeStatus, PeerUrl, Strategy,
};
use serde::Serialize;

use crate::data_dir::Evidence;

/// What a node reports in a check-in.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// `--name`.
    pub name: &'a MemberName,
    /// A random ID of this run.
    pub run_id: &'a str,
    /// Counts the check-ins of this run, from 1.
    pub sequence: u64,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: &'a [PeerUrl],
    /// `--advertise-client-urls`.
    pub client_urls: &'a [ClientUrl],
    /// The state of the data directory and of etcd.
    #[serde(flatten)]
    pub state: &'a State,
    /// The node's view of the cluster, if it has observed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<&'a View>,
    /// The last instruction that the node refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a Refusal>,
    /// What else the node reports.
    #[serde(flatten)]
    pub status: &'a NodeStatus,
    /// The version of the node's etcd, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<EtcdVersion>,
    /// `--accept-reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_reset: Option<u32>,
    /// Whether the node wants to leave.
    pub leaving: bool,
    /// Whether the registry should refuse the node instead of letting it wait as a spare.
    pub once: bool,
    /// `--join-strategy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// `--cluster-size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// The state of the data directory, and whether etcd runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// There is no WAL.
    Empty {
        /// Whether there is a leftover database that a member has used, or that is unreadable.
        #[serde(rename = "left_overs")]
        leftover: bool,
        /// Identifies the disk that the WAL would be on.
        #[serde(skip_serializing_if = "Option::is_none")]
        disk_id: Option<DiskId>,
    },
    /// There is a WAL, but its member cannot be determined.
    Unreadable {
        /// What is wrong, and in which file.
        found: String,
    },
    /// There is a member's data. etcd does not run.
    Stopped {
        /// The member's ID.
        member_id: MemberId,
        /// The etcd cluster's ID.
        cluster_id: ClusterId,
        /// The index of the last entry in the WAL, if it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_index: Option<u64>,
        /// Whether the WAL has no entry of a leader.
        never_led: bool,
        /// Identifies the disk that the WAL is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        disk_id: Option<DiskId>,
    },
    /// etcd's process runs on a member's data, but does not answer yet.
    Starting {
        /// The member's ID.
        member_id: MemberId,
        /// The etcd cluster's ID.
        cluster_id: ClusterId,
        /// Identifies the disk that the WAL is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        disk_id: Option<DiskId>,
    },
    /// etcd runs.
    Running {
        /// The member's ID.
        member_id: MemberId,
        /// The etcd cluster's ID.
        cluster_id: ClusterId,
        /// Identifies the disk that the WAL is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        disk_id: Option<DiskId>,
    },
}

/// An instruction that this node refused, because it saw something else itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The name of the instruction.
    pub instruction: String,
    /// What the node saw, for people.
    pub found: String,
}

/// What a node saw of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The cluster's revision in the last instruction before the observation.
    pub since: u64,
    /// The ID of the etcd cluster that answered.
    pub cluster_id: Option<ClusterId>,
    /// Whether the member list was read through the quorum.
    pub linearizable: bool,
    /// The leader.
    pub leader: Option<MemberId>,
    /// The leader's Raft term.
    pub term: Option<u64>,
    /// The member list.
    pub members: Vec<ObservedMember>,
}

/// A member of the list, with the result of the probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedMember {
    /// Its ID.
    pub id: MemberId,
    /// Its name; empty if it has never started.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    pub learner: bool,
    /// Whether an etcd of this cluster answered at one of its URLs.
    pub reachable: bool,
    /// Whether an etcd answered that gave this member's ID as its own.
    pub identified: bool,
    /// How many bytes the leader has received from it.
    pub received_bytes: Option<u64>,
    /// How many round-trip times to its peer URLs the leader has recorded; 0 if it has never reached them.
    pub round_trips: Option<u64>,
    /// The version of its etcd.
    pub version: Option<EtcdVersion>,
    /// The index of the last Raft entry that it has applied.
    pub applied_index: Option<u64>,
    /// The index up to which the leader knows that it has its log; 0 if it has confirmed nothing to this leader.
    pub matched_index: Option<u64>,
    /// The other member that answered at its client URLs, if this one did not. It is for people.
    #[serde(skip)]
    pub instead: Option<Identity>,
}

impl State {
    /// A member's data on which no etcd runs.
    pub fn stopped(identity: Identity, evidence: Evidence, disk_id: Option<DiskId>) -> Self {
        let (Identity { member, cluster }, Evidence { last_index, never_led }) = (identity, evidence);
        Self::Stopped { member_id: member, cluster_id: cluster, last_index, never_led, disk_id }
    }

    /// A member's etcd that runs, but does not answer yet.
    pub fn starting(Identity { member, cluster }: Identity) -> Self {
        Self::Starting { member_id: member, cluster_id: cluster, disk_id: None }
    }

    /// A member's etcd that runs.
    pub fn running(Identity { member, cluster }: Identity) -> Self {
        Self::Running { member_id: member, cluster_id: cluster, disk_id: None }
    }

    /// The same, with the disk that the WAL is on.
    pub fn on_disk(mut self, disk: Option<DiskId>) -> Self {
        match &mut self {
            Self::Empty { disk_id, .. }
            | Self::Stopped { disk_id, .. }
            | Self::Starting { disk_id, .. }
            | Self::Running { disk_id, .. } => *disk_id = disk,
            Self::Unreadable { .. } => {}
        }
        self
    }
}
