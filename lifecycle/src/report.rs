use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ClientUrl, ClusterId, ClusterSize, DiskId, Epoch, MemberId, MemberName, NodeStatus, PeerUrl, Revision, Role,
    Strategy, text::as_text, token::is_key_segment,
};

/// What a node reports when it checks in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node's name, etcd's `--name`.
    pub name: MemberName,
    /// Identifies this process of the node's client. Clients that send none count as one run.
    pub run: RunId,
    /// The number of this check-in in its run. A delayed check-in is ignored if a higher number has been answered. A
    /// retry has the same number. A node that does not count sends 0 each time.
    pub sequence: u64,
    /// Where other members reach this node. There is at least one.
    pub peer_urls: Vec<PeerUrl>,
    /// Where clients reach this node's etcd, if the node knows it.
    pub client_urls: Vec<ClientUrl>,
    /// The state of the data directory and of etcd.
    pub state: NodeState,
    /// What the node's data shows beyond its identity.
    pub data: DataEvidence,
    /// The version of the node's etcd. `None` if the node does not know it.
    pub etcd_version: Option<EtcdVersion>,
    /// The last instruction that the node refused, because its own check contradicted it. `None` if it refused none.
    pub refusal: Option<NodeRefusal>,
    /// Whether the data directory has no WAL, but a database that a member has used or that can't be read. It counts with
    /// [`NodeState::Empty`] only.
    pub leftover: bool,
    /// Where the WAL is or would be. `None` if the node's client does not report it.
    pub disk: Option<DiskId>,
    /// The node's view of the cluster. `None` if it has not observed the cluster.
    pub view: Option<View>,
    /// What the node reports for people. `None` if it reports nothing more.
    pub status: Option<Arc<NodeStatus>>,
    /// Consent, given on the node, to archive data of an earlier epoch: the number of the present epoch. Another number is no
    /// consent.
    pub accept_reset: Option<Epoch>,
    /// Whether the node is leaving the cluster.
    pub leaving: bool,
    /// Whether the node is refused instead of waiting as a spare.
    pub once: bool,
    /// The strategy for the node's own joining. The stricter of this and the policy's counts.
    pub strategy: Option<Strategy>,
    /// The size of the cluster that the node joins. A smaller cluster grows to it when the node looks for a place. In a
    /// larger cluster the node joins only while there are fewer voters. `None` for the cluster's own size.
    pub size: Option<ClusterSize>,
}

/// The state of a node's data directory, and whether its etcd runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// There is no WAL: etcd has never run here, or its data is gone.
    Empty,
    /// There is data that can't be read.
    Unreadable {
        /// What was found, for messages.
        found: String,
    },
    /// There is data of a member, and etcd does not run.
    Stopped(Identity),
    /// etcd's process runs on the data of a member, but does not answer yet: it loads the data.
    Starting(Identity),
    /// etcd runs and answers.
    Running(Identity),
}

/// What a data directory shows beyond its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataEvidence {
    /// The index of the last entry in the WAL: 0 if it has none. `None` if it is not known.
    pub last_index: Option<u64>,
    /// Whether the WAL has no entry of a leader. etcd has acknowledged nothing on such data. A node that did not look
    /// reports `false`.
    pub never_led: bool,
}

/// A release of etcd by its minor version, such as 3.6: members may be one minor version apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdVersion {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl EtcdVersion {
    /// Whether an etcd of this version can join members of which this is the lowest version: it has the same minor version or the
    /// next one.
    pub fn fits(self, lowest: Self) -> bool {
        self == lowest || self == lowest.next()
    }

    /// The next minor version.
    pub fn next(self) -> Self {
        Self { minor: self.minor.saturating_add(1), ..self }
    }
}

/// Why a text is not an [`EtcdVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a version of etcd such as 3.6 or 3.6.5")]
pub struct EtcdVersionError;

impl FromStr for EtcdVersion {
    type Err = EtcdVersionError;

    fn from_str(text: &str) -> Result<Self, EtcdVersionError> {
        let mut parts = text.split('.');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(EtcdVersionError);
        Ok(Self { major: number()?, minor: number()? })
    }
}

impl fmt::Display for EtcdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

as_text!(EtcdVersion, "a version of etcd");

/// An instruction that a node refused, because its own observation contradicts the instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeRefusal {
    /// The name of the instruction's task, such as `archive_data`.
    pub task: String,
    /// What the node saw, for people.
    pub found: String,
}

/// The member and the cluster of a data directory, from the WAL's metadata or from the running etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The member's ID.
    pub member: MemberId,
    /// The cluster's ID.
    pub cluster: ClusterId,
}

/// What one node saw of the cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The registry's revision that the node knew before it observed the cluster. The view may lack later changes.
    pub since: Revision,
    /// The cluster that answered. `None` if no member answered.
    pub cluster: Option<ClusterId>,
    /// Whether the member list was read through the quorum.
    pub linearizable: bool,
    /// The leader. `None` if there is none, or if it is not known.
    pub leader: Option<MemberId>,
    /// The leader's Raft term. `None` if there is no leader, or if the term is not known.
    pub term: Option<u64>,
    /// The member list. Empty if no member answered.
    pub members: Vec<ObservedMember>,
}

/// A member as a node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedMember {
    /// Its ID.
    pub id: MemberId,
    /// Its name. `None` if it has never started.
    pub name: Option<MemberName>,
    /// Its peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs. Empty if it has never started.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    pub learner: bool,
    /// Whether an etcd of this cluster answered a probe at one of its URLs. That may be another member: addresses move.
    pub reachable: bool,
    /// Whether an etcd answered that gave this member's ID as its own.
    pub identified: bool,
    /// How many bytes the leader has received from it: the leader's `etcd_network_peer_received_bytes_total`. It grows all
    /// the time while the leader hears from the member. `None` for the leader, or if it is not known.
    pub received_bytes: Option<u64>,
    /// How many round-trip times to its peer URLs the leader has recorded: the leader's
    /// `etcd_network_peer_round_trip_time_seconds_count`, or 0 as long as `…_sum` is 0, which means that the leader has never
    /// reached them. The count also grows while they are not reached. `None` for the leader, or if it is not known.
    pub round_trips: Option<u64>,
    /// The version of its etcd. `None` if it is not known.
    pub version: Option<EtcdVersion>,
    /// The index up to which it has applied the Raft log. `None` if it is not known.
    pub applied_index: Option<u64>,
    /// The index up to which the leader knows that it has its log: `match` in the leader's `raft.status`. 0 if it has confirmed
    /// nothing to this leader. `None` if it is not known.
    pub matched_index: Option<u64>,
}

impl View {
    /// How old a view may be for the removal of a member that seems to be dead or gone. Observing a cluster takes a few seconds.
    pub const RECENT: Duration = Duration::from_secs(10);

    /// What the node saw of a member.
    pub(crate) fn observed(&self, member: MemberId) -> Option<&ObservedMember> {
        self.members.iter().find(|observed| observed.id == member)
    }
}

impl ObservedMember {
    /// Its role.
    pub fn role(&self) -> Role {
        if self.learner { Role::Learner } else { Role::Voter }
    }
}

impl Report {
    /// The member and the cluster of the node's data. `None` if it has no readable data.
    pub fn identity(&self) -> Option<Identity> {
        match self.state {
            NodeState::Stopped(identity) | NodeState::Starting(identity) | NodeState::Running(identity) => {
                Some(identity)
            }
            NodeState::Empty | NodeState::Unreadable { .. } => None,
        }
    }

    /// Whether the node has data that has never had a leader.
    pub fn has_never_led_data(&self) -> bool {
        self.data.never_led && matches!(self.state, NodeState::Stopped(_))
    }

    /// Whether the node has data without entries. etcd first writes the WAL, and then the list of members as its first entries
    /// (`server/etcdserver/raft.go:start`). If it exits between the two, it does not know the members when it starts again:
    /// it elects no leader, and answers only members that reach it.
    pub fn has_data_without_entries(&self) -> bool {
        self.has_never_led_data() && self.data.last_index == Some(0)
    }

    /// Whether the node's etcd runs and answers.
    pub fn is_running(&self) -> bool {
        matches!(self.state, NodeState::Running(_))
    }
}

/// Identifies one run of a node's client: one process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

/// Why a text is not a [`RunId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and differ each time the client starts")]
pub struct RunIdError;

impl RunId {
    /// The run of clients that send no ID.
    pub fn unnamed() -> Self {
        Self("-".into())
    }

    /// The run's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        if is_key_segment(text) { Ok(Self(text.into())) } else { Err(RunIdError) }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(RunId, "a run ID");
