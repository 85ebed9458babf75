use serde::{Deserialize, Serialize};

use crate::{MemberId, MemberKey};

/// What a node reports besides its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its etcd, for people. Whether it leads also tells whose look at a learner counts, and how far it has applied the log whether its disk
    /// goes back later. `None` if the node reports nothing about it.
    pub etcd: Option<EtcdStatus>,
    /// Which members it reaches. Beside a voter, the node is a witness.
    pub reachability: Vec<Reachability>,
}

/// What a node reports about its etcd. `None` of a field: the node does not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct EtcdStatus {
    /// Its whole version, such as `3.6.5`.
    pub version: Option<String>,
    /// The leader that it follows.
    pub leader: Option<MemberId>,
    /// The index of the last Raft log entry that it has applied.
    pub raft_applied_index: Option<u64>,
    /// The size of its database file.
    pub database_bytes: Option<u64>,
    /// How much of the file is in use.
    pub database_bytes_in_use: Option<u64>,
    /// The size at which it accepts no further writes.
    pub quota_bytes: Option<u64>,
    /// Its alarms and other errors.
    pub errors: Vec<String>,
    /// How often the node has started its process again.
    pub restarts: Option<u64>,
    /// The state of the node's agent.
    pub state: Option<String>,
    /// Why it is in this state, for people.
    pub reason: Option<String>,
}

/// Whether a node reaches a member. `None`: it has not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reachability {
    /// The member.
    pub member: MemberId,
    /// Whether the member answers at a peer URL as a member of this cluster, so that etcds on this node reach it there.
    pub peer: Option<bool>,
    /// Whether the member answers at a client URL.
    pub client: Option<bool>,
}

impl NodeStatus {
    /// What the node reports of a member.
    pub(crate) fn look_at(&self, member: &MemberKey) -> Option<&Reachability> {
        self.reachability.iter().find(|look| MemberKey::from(look.member) == *member)
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        const EACH: usize = 32;
        let etcd = self.etcd.iter();
        let texts =
            etcd.flat_map(|etcd| etcd.errors.iter().chain(&etcd.version).chain(&etcd.state).chain(&etcd.reason));
        let texts: usize = texts.map(|text| text.len() + EACH).sum();
        size_of::<Self>() + texts + self.reachability.len() * size_of::<Reachability>()
    }
}
