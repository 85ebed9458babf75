use std::time::Duration;

use crate::{ClientUrl, MemberId, MemberKey, MemberName, PeerUrl, Reason};

/// What the registry answers a check-in: what the node does next, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub task: Task,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// When to check in again; after a task that ends, at once.
    pub check_in_after: Duration,
}

/// What a node is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Nothing now; ask again.
    Wait,
    /// QuorumView at the cluster, and report its member list and who is reachable.
    Observe(Endpoints),
    /// Start etcd with an empty data directory and these flags; it bootstraps the cluster together with the others.
    Bootstrap(EtcdFlags),
    /// Start etcd on the data that is there. etcd ignores these flags then, but whoever prints them shows who is there;
    /// `None` means that the registry does not know the member.
    Start(Option<EtcdFlags>),
    /// Rename the data directory, so that it is out of the way and nothing is lost.
    ArchiveData,
    /// Remove a member.
    RemoveMember {
        /// Which.
        member: MemberKey,
        /// On which terms.
        terms: Terms,
    },
    /// Add this node as a member.
    AddMember {
        /// Its peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// As learner, or as voter.
        learner: bool,
        /// On which terms.
        terms: Terms,
    },
    /// Give a member other peer URLs.
    UpdateMember {
        /// Which.
        member: MemberKey,
        /// Its peer URLs from then on.
        peer_urls: Vec<PeerUrl>,
        /// On which terms.
        terms: Terms,
    },
    /// Start etcd with an empty data directory and these flags; it joins the cluster as the member that was added.
    Join(EtcdFlags),
    /// Make a learner a voter.
    Promote {
        /// Which.
        member: MemberKey,
        /// On which terms.
        terms: Terms,
    },
    /// Hand over the leadership if this member has it, remove this member, and stop its etcd.
    Leave {
        /// Which member this is.
        member: MemberKey,
        /// On which terms.
        terms: Terms,
    },
    /// Nothing, as a spare: the cluster doesn't need this node now. Ask again.
    StandBy,
    /// Give up until somebody has done something about it.
    Refuse {
        /// What that is.
        remedy: String,
    },
}

/// On which terms a node may change membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The ticket's number.
    pub ticket: u64,
    /// How long after it asked the node may begin, by its own clock; later it has to ask again.
    pub act_within: Duration,
    /// The members that etcd's list, read through the quorum right before, must show, no more and no less; else
    /// the node reports what it saw.
    pub expect: Vec<ExpectedMember>,
}

/// A member that has to be in etcd's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedMember {
    /// Which.
    pub id: MemberId,
    /// Whether as learner.
    pub learner: bool,
}

/// Where a cluster can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Of clients, as far as they are known.
    pub client_urls: Vec<ClientUrl>,
    /// Of members.
    pub peer_urls: Vec<PeerUrl>,
}

/// How to start an etcd: all of it counts if the data directory is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdFlags {
    /// `--name`.
    pub name: MemberName,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: Vec<PeerUrl>,
    /// `--initial-cluster`: every member, with all its peer URLs.
    pub initial_cluster: String,
    /// `--initial-cluster-token`.
    pub initial_cluster_token: String,
}

impl Task {
    /// The task's word.
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

    /// On which terms membership changes with it; `None` means that it does not.
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
