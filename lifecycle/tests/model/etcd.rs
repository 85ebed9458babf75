use convene_lifecycle::{ClusterId, MemberId};

/// The membership of one etcd cluster: what its quorum has committed, and which members have bootstrapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etcd {
    pub id: ClusterId,
    /// `--initial-cluster-token` of those that bootstrapped it.
    pub token: String,
    pub members: Vec<Entry>,
    /// The founders that have bootstrapped it.
    pub booted: Vec<MemberId>,
    /// Whether it ever had a quorum, so that clients may have written to it.
    pub committed: bool,
}

/// A member in etcd's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub id: MemberId,
    /// The node with its peer URL.
    pub node: usize,
    pub learner: bool,
    /// Whether the list shows its name. etcd takes a member with a name for started; founders have one from the beginning.
    pub named: bool,
    /// Whether the leader has received bytes from it since the reading that the failure detector has recorded.
    pub grown: bool,
}

/// Which membership changes etcd itself refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Before 3.5.30 and 3.6.11: no member is added while any voter is unreachable.
    Strict,
    /// Since then: the connected voters must be a quorum of the future cluster, unless it has one voter only.
    Newer,
    /// `--strict-reconfig-check=false`: none, so safety depends on the planner alone.
    Off,
}

impl Guard {
    /// Whether a member may be added (`server/etcdserver/server.go:mayAddMember`).
    pub fn may_add(self, etcd: &Etcd, learner: bool, up: usize) -> bool {
        let voters = etcd.voters().count();
        let named = etcd.voters().filter(|voter| voter.named).count();
        let enough_started = learner || (named == 1 && voters == 1) || named >= quorum(voters + 1);
        match self {
            Self::Strict => enough_started && up == voters,
            Self::Newer => enough_started && (voters == 1 || up >= quorum(voters + 1)),
            Self::Off => true,
        }
    }

    /// Whether a member may be removed (`server/etcdserver/server.go:mayRemoveMember`).
    pub fn may_remove(self, etcd: &Etcd, leaver: &Entry, leaver_is_up: bool, up: usize) -> bool {
        if self == Self::Off || leaver.learner {
            return true;
        }
        let remaining = etcd.voters().count() - 1;
        let named = etcd.voters().filter(|voter| voter.named && voter.id != leaver.id).count();
        named >= quorum(remaining) && (!leaver_is_up || up > quorum(remaining))
    }
}

impl Entry {
    /// What the leader has received from it, counted from the recorded reading on.
    pub fn received_bytes(&self) -> u64 {
        1 + u64::from(self.grown)
    }
}

impl Etcd {
    pub fn voters(&self) -> impl Iterator<Item = &Entry> {
        self.members.iter().filter(|entry| !entry.learner)
    }

    pub fn member(&self, id: MemberId) -> Option<&Entry> {
        self.members.iter().find(|entry| entry.id == id)
    }
}

/// The quorum of so many voters.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}
