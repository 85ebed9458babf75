use std::time::Duration;

use crate::{MemberKey, MemberName, PeerUrl, UnixMillis};

/// The lease for the one membership change that a cluster may have under way.
///
/// Its holder keeps it while it checks in, and loses it [`Ticket::LEASE`] after its last check-in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// A fencing token: each ticket of a cluster has a higher number than the one before.
    pub number: u64,
    /// The node that makes the change.
    pub holder: MemberName,
    /// The change.
    pub purpose: Purpose,
    /// When it was granted.
    pub granted_at: UnixMillis,
}

/// The change that a [`Ticket`] is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Make the holder a voter. A dead member or the holder's own former member is removed first, then the holder is
    /// added, started and promoted.
    Join {
        /// The holder's peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// The member that makes room.
        replaces: Option<MemberKey>,
    },
    /// Remove a member.
    Remove {
        /// The member.
        member: MemberKey,
    },
    /// Change a member's peer URLs.
    Update {
        /// The member.
        member: MemberKey,
        /// Its new peer URLs.
        peer_urls: Vec<PeerUrl>,
    },
    /// Make a learner a voter.
    Promote {
        /// The learner.
        member: MemberKey,
    },
}

impl Ticket {
    /// How long the holder keeps its ticket after its last check-in.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// How long after its check-in the holder may begin the instructed change. The rest of the lease is for etcd to
    /// apply or drop the request (`server/config/config.go:ReqTimeout` is 7 s or more). So no change of this ticket
    /// happens after another one may have been granted.
    pub const ACT_WITHIN: Duration = Duration::from_secs(20);
}

impl Purpose {
    /// The member that the change removes.
    pub fn removes(&self) -> Option<&MemberKey> {
        match self {
            Self::Join { replaces, .. } => replaces.as_ref(),
            Self::Remove { member } => Some(member),
            Self::Update { .. } | Self::Promote { .. } => None,
        }
    }

    /// Its name in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Remove { .. } => "remove",
            Self::Update { .. } => "update",
            Self::Promote { .. } => "promote",
        }
    }
}
