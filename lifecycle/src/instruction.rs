use std::time::Duration;

use crate::{ClientUrl, ClusterId, MemberId, MemberKey, MemberName, PeerUrl, Reason};

/// The answer to a check-in: what the node should do next, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub task: Task,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people. The text may change.
    pub message: String,
    /// When to check in again. Zero for tasks that end: then at their end.
    pub check_in_after: Duration,
}

/// What a node should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Do nothing, and check in again.
    Wait,
    /// Observe the cluster: report its member list, and which members answer.
    Observe(Endpoints),
    /// Start etcd with these flags and an empty data directory. It bootstraps the cluster with the other founders.
    Bootstrap(EtcdFlags),
    /// Start etcd on the existing data. etcd ignores the flags then; they show the member list. `None` if the registry
    /// does not know the member.
    Start(Option<EtcdFlags>),
    /// Archive the data: rename the data directory, so that nothing is lost.
    ArchiveData,
    /// Remove a member.
    RemoveMember {
        /// The member.
        member: MemberKey,
        /// What must hold right before.
        terms: Terms,
    },
    /// Add this node as a member.
    AddMember {
        /// Its peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// As a learner. If not, as a voter.
        learner: bool,
        /// What must hold right before.
        terms: Terms,
    },
    /// Change a member's peer URLs.
    UpdateMember {
        /// The member.
        member: MemberKey,
        /// Its new peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// What must hold right before.
        terms: Terms,
    },
    /// Start etcd with these flags and an empty data directory. It joins the cluster as the member that was added.
    Join(EtcdFlags),
    /// Make a learner a voter.
    Promote {
        /// The learner.
        member: MemberKey,
        /// What must hold right before.
        terms: Terms,
    },
    /// Move the leadership away if this member is the leader, remove this member, and stop its etcd.
    Leave {
        /// This node's member.
        member: MemberKey,
        /// What must hold right before.
        terms: Terms,
    },
    /// Wait as a spare: the cluster does not need this node now. Check in again.
    StandBy,
    /// Give up until a person has acted.
    Refuse {
        /// What the person can do.
        remedy: String,
    },
}

/// What must hold right before a node changes the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The number of the ticket.
    pub ticket: u64,
    /// How long after its check-in the node may begin, by its own clock. Later it must check in again.
    pub act_within: Duration,
    /// The exact member list that etcd must show when the node reads it through the quorum right before the change. If
    /// etcd shows another list, the node reports that instead.
    pub expect: Vec<ExpectedMember>,
    /// The policy's number of witnesses ([`Policy::witnesses`](crate::Policy::witnesses)).
    pub witnesses: u32,
}

/// A member that etcd's list must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedMember {
    /// Its ID.
    pub id: MemberId,
    /// Whether it is a learner.
    pub learner: bool,
}

/// Where a cluster can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// etcd's cluster ID, if the registry knows it. Another cluster may answer at the former address of a member.
    pub cluster: Option<ClusterId>,
    /// Known client URLs.
    pub client_urls: Vec<ClientUrl>,
    /// Peer URLs.
    pub peer_urls: Vec<PeerUrl>,
}

/// The flags with which etcd starts. etcd ignores all but the name if it has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdFlags {
    /// `--name`.
    pub name: MemberName,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: Vec<PeerUrl>,
    /// `--initial-cluster`: every member with all its peer URLs.
    pub initial_cluster: String,
    /// `--initial-cluster-token`.
    pub initial_cluster_token: String,
}

impl Task {
    /// Its name in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Observe(_) => "observe",
            Self::Bootstrap(_) => "bootstrap",
            Self::Start(_) => "start",
            Self::ArchiveData => "archive_data",
            Self::RemoveMember { .. } => "remove_member",
            Self::AddMember { .. } => "add_member",
            Self::UpdateMember { .. } => "update_member",
            Self::Join(_) => "join",
            Self::Promote { .. } => "promote",
            Self::Leave { .. } => "leave",
            Self::StandBy => "stand_by",
            Self::Refuse { .. } => "refuse",
        }
    }

    /// The terms, if the task changes the membership.
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Self::RemoveMember { terms, .. }
            | Self::AddMember { terms, .. }
            | Self::UpdateMember { terms, .. }
            | Self::Promote { terms, .. }
            | Self::Leave { terms, .. } => Some(terms),
            _ => None,
        }
    }
}
