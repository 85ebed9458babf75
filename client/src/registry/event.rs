use convene_lifecycle::MemberKey;
use serde::Deserialize;

use super::Verbatim;

/// A change of a cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// The revision that the change created.
    pub revision: u64,
    /// When the change was made (RFC 3339).
    pub at: String,
    /// The kind of the change.
    pub kind: String,
    /// The member that the change is about.
    pub member_id: Option<MemberKey>,
    /// What changed and why.
    pub message: String,
    /// Who asked for the change. An older server has no such field.
    #[serde(default)]
    pub by: Option<String>,
    /// The address of the client.
    #[serde(default)]
    pub from: Option<String>,
}

/// Consecutive events, the oldest first.
#[derive(Debug, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Verbatim<Event>>,
    /// The revision after which the next events follow.
    pub last_revision: u64,
}
