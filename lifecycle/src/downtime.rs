use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::UnixMillis;

/// An announced time in which a silent member does not count as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Downtime {
    /// Its end.
    pub until: UnixMillis,
    /// Who announced it.
    pub by: Announcer,
}

/// Who announced a downtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcer {
    /// An administrator. The downtime lasts until its end, however often the member comes back.
    Administrator,
    /// The member's own node. The downtime ends when the member's etcd answers again.
    Node,
}

/// Why a text is not an [`Announcer`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not who announces downtimes")]
pub struct UnknownAnnouncer(String);

impl Downtime {
    /// Whether it has not ended yet.
    pub fn is_running(self, now: UnixMillis) -> bool {
        now < self.until
    }

    /// Whether it gives way to another announcement. A running one of an administrator gives way to an administrator only.
    pub(crate) fn gives_way_to(self, by: Announcer, now: UnixMillis) -> bool {
        by == Announcer::Administrator || self.by == Announcer::Node || !self.is_running(now)
    }
}

impl Announcer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Administrator, Self::Node];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Node => "node",
        }
    }

    /// The subject of a sentence about a member's downtime.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Administrator => "an administrator",
            Self::Node => "the node",
        }
    }
}

impl fmt::Display for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Announcer {
    type Err = UnknownAnnouncer;

    fn from_str(text: &str) -> Result<Self, UnknownAnnouncer> {
        let found = Self::ALL.into_iter().find(|announcer| announcer.as_str() == text);
        found.ok_or_else(|| UnknownAnnouncer(text.to_owned()))
    }
}
