use convene_lifecycle::{ClientUrl, ClusterId, Identity, MemberId, MemberName, PeerUrl, Strategy};
use serde::Serialize;

/// What a node says when it checks in.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// `--name`.
    pub name: &'a MemberName,
    /// Drawn when this process started.
    pub run_id: &'a str,
    /// Counts this process' check-ins.
    pub sequence: u64,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: &'a [PeerUrl],
    /// `--advertise-client-urls`.
    pub client_urls: &'a [ClientUrl],
    /// What the data directory holds, and whether etcd runs on it.
    #[serde(flatten)]
    pub state: &'a State,
    /// What the node sees of the cluster, if it has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<&'a View>,
    /// Whether the node wants to leave.
    pub leaving: bool,
    /// Whether the node would rather be refused than wait as a spare.
    pub once: bool,
    /// `--join-strategy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// `--cluster-size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// What a node has, and whether etcd runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// No WAL.
    Empty {
        /// Whether there is a database all the same that a member has used, or that can't be read.
        left_overs: bool,
    },
    /// Data that can't be read.
    Unreadable {
        /// What was found.
        found: String,
    },
    /// A member's data, and no etcd on it.
    Stopped {
        /// The member.
        member_id: MemberId,
        /// Its cluster.
        cluster_id: ClusterId,
    },
    /// An etcd that runs.
    Running {
        /// The member.
        member_id: MemberId,
        /// Its cluster.
        cluster_id: ClusterId,
    },
}

/// What a node sees of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The revision of the last instruction before the look.
    pub since: u64,
    /// The etcd cluster that answered.
    pub cluster_id: Option<ClusterId>,
    /// Whether the list was read through the quorum.
    pub linearizable: bool,
    /// Who leads.
    pub leader: Option<MemberId>,
    /// The list.
    pub members: Vec<ObservedMember>,
}

/// A member as it was seen.
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
    /// Whether it answered just now.
    pub reachable: bool,
    /// How far it has applied the Raft log.
    pub applied_index: Option<u64>,
}

impl State {
    /// A member's data, and no etcd on it.
    pub fn stopped(Identity { member, cluster }: Identity) -> Self {
        Self::Stopped { member_id: member, cluster_id: cluster }
    }

    /// A member's etcd that runs.
    pub fn running(Identity { member, cluster }: Identity) -> Self {
        Self::Running { member_id: member, cluster_id: cluster }
    }
}
