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
    /// What held before; `None` means that the subject was not there.
    pub previous: Option<Previous>,
    /// Whether the cluster was still forming when this happened. Stock etcds count every event
    /// that they see while they form as one more member, so not every event may reach them.
    pub while_forming: bool,
}

/// What an [`Event`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The cluster as a whole.
    Cluster,
    /// Its size.
    Size,
    /// One member.
    Member(MemberKey),
}

/// What a subject was before an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its value; `None` for the cluster as a whole, which has none.
    pub value: Option<String>,
    /// Since which revision it had been there.
    pub created: Revision,
    /// When it had last changed.
    pub modified: Revision,
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
