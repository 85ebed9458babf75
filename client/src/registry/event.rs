use convene_lifecycle::MemberKey;
use serde::Deserialize;

use super::Sent;

/// A change of a cluster, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// The cluster's revision from this change on.
    pub revision: u64,
    /// When it happened.
    pub at: String,
    /// What kind of change it is.
    pub kind: String,
    /// The member that it is about.
    pub member_id: Option<MemberKey>,
    /// What happened and why.
    pub message: String,
}

/// Some events, the oldest first.
#[derive(Debug, Deserialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Sent<Event>>,
    /// Where to go on.
    pub last_revision: u64,
}
