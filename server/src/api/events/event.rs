use convene_lifecycle::{Event, Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Timestamp;

/// One change of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// The revision that the change created.
    #[schema(minimum = 1, example = 2)]
    revision: u64,
    /// When the change was made.
    at: Timestamp,
    /// The kind of change. Later versions may add kinds.
    #[schema(example = "member_added")]
    kind: &'static str,
    /// What happened and why, for people.
    #[schema(example = "infra0 added as voter")]
    message: String,
    /// The member that the change affects; null if it affects none.
    #[schema(example = "8e9e05c52164694d")]
    member_id: Option<String>,
    /// The new registration of the member, or the new size; null if the member was removed, or if neither changed.
    #[schema(example = "infra0=http://10.0.0.1:2380")]
    value: Option<String>,
    /// Who asked for the change: the ID of an API token, `certificate NAME`, `node NAME`, `discovery-token`, `anonymous` if the
    /// server demands no credentials, or `server`; null if it is not known.
    #[schema(example = "tok-5e0f3c1a2b4d6879")]
    by: Option<String>,
    /// The IP address of the client; null if the server itself made the change, or if it is not known.
    #[schema(example = "10.0.0.9")]
    from: Option<String>,
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        let member = match &event.subject {
            Subject::Member(key) | Subject::Lifecycle(Some(key)) => Some(key),
            Subject::Cluster | Subject::Size | Subject::Lifecycle(None) => None,
        };
        Self {
            revision: event.revision.0,
            at: Timestamp(event.at),
            kind: event.kind.as_str(),
            message: event.message.to_string(),
            member_id: member.map(ToString::to_string),
            value: event.value.clone(),
            by: event.actor.as_ref().map(|actor| actor.by.to_string()),
            from: event.actor.as_ref().and_then(|actor| actor.from).map(|from| from.to_string()),
        }
    }
}
