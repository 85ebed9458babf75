use std::borrow::Cow;

use thiserror::Error;

use crate::{MemberKey, Revision, Token, UnixMillis};

/// One change of one cluster, for those who wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The cluster that changed.
    pub token: Token,
    /// The cluster's revision from this change on.
    pub revision: Revision,
    /// When it happened, by the clock of the server that decided it.
    pub at: UnixMillis,
    /// How it came about.
    pub action: Action,
    /// What changed.
    pub subject: Subject,
    /// What holds from now on; `None` means that the subject is gone.
    pub value: Option<String>,
    /// Since which revision the subject has been there.
    pub created: Revision,
    /// How often it was written since then, this time included; 0 if it is gone or has no value.
    pub version: u64,
    /// What held before; `None` means that the subject was not there.
    pub previous: Option<Previous>,
    /// What has gone with the subject: with a cluster, its size and its members. Only those who hear of it when it
    /// happens are told, since the history of a cluster goes with it.
    pub also_deleted: Vec<(Subject, Previous)>,
    /// Whether the cluster was still forming when this happened. Stock etcds count every event
    /// that they see while they form as one more member, so not every event may reach them.
    pub while_forming: bool,
    /// What kind of change it is.
    pub kind: EventKind,
    /// What happened and why, for people.
    pub message: Cow<'static, str>,
}

/// What kind of change an [`Event`] tells of. The words are part of the API and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A cluster was made.
    ClusterCreated,
    /// A cluster was deleted.
    ClusterDeleted,
    /// The size was set.
    SizeSet,
    /// The cluster's name or policy was changed.
    PolicySet,
    /// Changes of membership rest from now on.
    Paused,
    /// Changes of membership are made again.
    Resumed,
    /// A member registered, so as to bootstrap the cluster, or changed its registration.
    MemberRegistered,
    /// A member is in etcd's list.
    MemberAdded,
    /// A member has other names, URLs or state.
    MemberUpdated,
    /// A learner has become a voter.
    MemberPromoted,
    /// A member is gone.
    MemberRemoved,
    /// A member is to be removed.
    EvictionRequested,
    /// A member is not to be removed after all, or its node may come back.
    EvictionWithdrawn,
    /// A member will be down for a while.
    DowntimeAnnounced,
    /// An announced downtime is over.
    DowntimeEnded,
    /// The members that bootstrap the cluster are known.
    Formed,
    /// A node was told to bootstrap.
    BootstrapTold,
    /// An etcd cluster exists.
    Bootstrapped,
    /// A node may make a change of membership.
    TicketGranted,
    /// A change of membership is done or given up.
    TicketReleased,
    /// A new attempt to form begins.
    EpochBegun,
}

impl EventKind {
    /// Every kind, with its word.
    pub const ALL: [(Self, &'static str); 21] = [
        (Self::ClusterCreated, "cluster_created"),
        (Self::ClusterDeleted, "cluster_deleted"),
        (Self::SizeSet, "size_set"),
        (Self::PolicySet, "policy_set"),
        (Self::Paused, "paused"),
        (Self::Resumed, "resumed"),
        (Self::MemberRegistered, "member_registered"),
        (Self::MemberAdded, "member_added"),
        (Self::MemberUpdated, "member_updated"),
        (Self::MemberPromoted, "member_promoted"),
        (Self::MemberRemoved, "member_removed"),
        (Self::EvictionRequested, "eviction_requested"),
        (Self::EvictionWithdrawn, "eviction_withdrawn"),
        (Self::DowntimeAnnounced, "downtime_announced"),
        (Self::DowntimeEnded, "downtime_ended"),
        (Self::Formed, "formed"),
        (Self::BootstrapTold, "bootstrap_told"),
        (Self::Bootstrapped, "bootstrapped"),
        (Self::TicketGranted, "ticket_granted"),
        (Self::TicketReleased, "ticket_released"),
        (Self::EpochBegun, "epoch_begun"),
    ];

    /// The kind's word.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A text that names no [`EventKind`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no kind of event")]
pub struct UnknownEventKind(String);

impl std::str::FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        let found = Self::ALL.into_iter().find(|(_, word)| *word == text);
        found.map(|(kind, _)| kind).ok_or_else(|| UnknownEventKind(text.to_owned()))
    }
}

/// What an [`Event`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The cluster as a whole.
    Cluster,
    /// Its size.
    Size,
    /// One member's registration.
    Member(MemberKey),
    /// Something that v2 and v3 discovery have no key for: a policy, a ticket, what is known of a member beyond its
    /// registration. The event's kind says what.
    Lifecycle(Option<MemberKey>),
}

/// What a subject was before an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its value; `None` for the cluster as a whole, which has none.
    pub value: Option<String>,
    /// Since which revision it had been there.
    pub created: Revision,
    /// When it had last been written.
    pub modified: Revision,
    /// How often it had been written.
    pub version: u64,
}

/// How a change came about, in the verbs of etcd's v2 API (`etcdserver/api/v2store/event.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only if it was not there.
    Create,
    /// Whatever was there.
    Set,
    /// Only if it was there.
    Update,
    /// Only if it was as expected.
    CompareAndSwap,
    /// Removed.
    Delete,
    /// Removed only if it was as expected.
    CompareAndDelete,
}

/// A text that names no [`Action`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no action")]
pub struct UnknownAction(String);

impl Action {
    const ALL: [Self; 6] =
        [Self::Create, Self::Set, Self::Update, Self::CompareAndSwap, Self::Delete, Self::CompareAndDelete];

    /// The verb as etcd writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Update => "update",
            Self::CompareAndSwap => "compareAndSwap",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compareAndDelete",
        }
    }
}

impl std::str::FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word_in_its_own_place() {
        for (kind, word) in EventKind::ALL {
            assert_eq!((kind.as_str(), word.parse()), (word, Ok(kind)));
        }
    }
}
