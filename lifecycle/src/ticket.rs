use std::time::Duration;

use crate::{MemberKey, MemberName, PeerUrl, UnixMillis};

/// The one membership change that a cluster has under way, and the node that makes it.
///
/// It is a lease: it stays with its holder for as long as the holder checks in, and [`Ticket::LEASE`] beyond.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Grows with every ticket of a cluster; who shows a lower one has lost it.
    pub number: u64,
    /// The node that makes the change.
    pub holder: MemberName,
    /// What the change is.
    pub purpose: Purpose,
    /// When the holder got it.
    pub granted_at: UnixMillis,
}

/// What a [`Ticket`] is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Makes the holder a voter: a dead member or its own former self is removed, then the holder is
    /// added, started and promoted.
    Join {
        /// The holder's peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// Who makes room.
        replaces: Option<MemberKey>,
    },
    /// Removes a member.
    Remove {
        /// Which.
        member: MemberKey,
    },
    /// Gives a member other peer URLs.
    Update {
        /// Which.
        member: MemberKey,
        /// Its peer URLs from then on.
        peer_urls: Vec<PeerUrl>,
    },
    /// Makes a learner a voter.
    Promote {
        /// Which.
        member: MemberKey,
    },
}

impl Ticket {
    /// How long a ticket outlasts its holder's last check-in.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// How long after it has asked the holder may begin the change that an instruction names. What is left of the
    /// lease is for etcd to carry out or drop what it was asked for (`server/config/config.go:ReqTimeout` is
    /// 7 s and more), so that nothing of this ticket happens once another one may be out.
    pub const ACT_WITHIN: Duration = Duration::from_secs(20);
}

impl Purpose {
    /// The member that goes when this is carried out.
    pub fn removes(&self) -> Option<&MemberKey> {
        match self {
            Self::Join { replaces, .. } => replaces.as_ref(),
            Self::Remove { member } => Some(member),
            Self::Update { .. } | Self::Promote { .. } => None,
        }
    }

    /// The purpose's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Remove { .. } => "remove",
            Self::Update { .. } => "update",
            Self::Promote { .. } => "promote",
        }
    }
}
