use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ClientUrl, ClusterId, ClusterSize, MemberId, MemberName, PeerUrl, Revision, Role, Strategy, text::as_text,
    token::is_key_segment,
};

/// What a node says when it checks in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What etcd calls `--name`.
    pub name: MemberName,
    /// Drawn anew each time the node's client starts; who sends none is taken for the one that was there before.
    pub run: RunId,
    /// Counts the check-ins of a run, so that one that got stuck on its way is known by the later one that overtook it;
    /// repeating a check-in repeats its number. A node that does not count sends 0 each time.
    pub sequence: u64,
    /// Where other members reach this node; at least one.
    pub peer_urls: Vec<PeerUrl>,
    /// Where clients reach this node's etcd, as far as the node knows.
    pub client_urls: Vec<ClientUrl>,
    /// What the node has, and whether its etcd runs.
    pub state: NodeState,
    /// Whether there is no WAL, but a database that a member has used, or that can't be read. Only counts with
    /// [`NodeState::Empty`].
    pub leftover: bool,
    /// What the node sees of the cluster; `None` means that it has not looked.
    pub view: Option<View>,
    /// Whether the node wants to leave the cluster.
    pub leaving: bool,
    /// Whether the node would rather be refused than wait as a spare.
    pub once: bool,
    /// What the node's own joining may change; the stricter of this and the policy's counts, and `None` means the policy's.
    pub strategy: Option<Strategy>,
    /// How many voters the cluster is to have in the node's eyes: a cluster that is smaller grows to it if the node looks
    /// for a place, and in one that is larger the node takes no place beyond it. `None` means the cluster's own size.
    pub size: Option<ClusterSize>,
}

/// What a node's data directory holds, and whether its etcd runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// No WAL: etcd has never run here.
    Empty,
    /// There is data that can't be read.
    Unreadable {
        /// What was found, for people.
        found: String,
    },
    /// Data of a member, and no etcd on it.
    Stopped(Identity),
    /// An etcd that runs.
    Running(Identity),
}

/// Whose data it is, from the WAL's metadata or from the running etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The member.
    pub member: MemberId,
    /// The cluster.
    pub cluster: ClusterId,
}

/// What a node saw when it looked at the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The registry's revision that the node had been told before it began to look: what changed later,
    /// the view may not know.
    pub since: Revision,
    /// The cluster that answered; `None` means that nobody did.
    pub cluster: Option<ClusterId>,
    /// Whether the list was read through the quorum.
    pub linearizable: bool,
    /// The member that leads; `None` means that there is none or that it is not known.
    pub leader: Option<MemberId>,
    /// The members in the list; empty if nobody answered.
    pub members: Vec<ObservedMember>,
}

/// A member as a node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedMember {
    /// Its ID.
    pub id: MemberId,
    /// Its name; `None` means that it has never started.
    pub name: Option<MemberName>,
    /// Its peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs; empty if it has never started.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    pub learner: bool,
    /// Whether it answered just now.
    pub reachable: bool,
    /// How far it has applied the Raft log; `None` means that it did not say.
    pub applied_index: Option<u64>,
}

impl ObservedMember {
    /// Whether it votes.
    pub fn role(&self) -> Role {
        if self.learner { Role::Learner } else { Role::Voter }
    }
}

impl Report {
    /// Whose data the node has.
    pub fn identity(&self) -> Option<Identity> {
        match self.state {
            NodeState::Stopped(identity) | NodeState::Running(identity) => Some(identity),
            NodeState::Empty | NodeState::Unreadable { .. } => None,
        }
    }

    /// Whether the node's etcd runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, NodeState::Running(_))
    }
}

/// Tells one run of a node's client from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

/// Why a text is not a [`RunId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', drawn anew each time the client starts")]
pub struct RunIdError;

impl RunId {
    /// The run of those who don't name one.
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
