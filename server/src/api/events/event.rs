use convene_lifecycle::{Event, Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Timestamp;

/// One change of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// The cluster's revision from this change on.
    #[schema(minimum = 1, example = 2)]
    revision: u64,
    /// When it happened.
    at: Timestamp,
    /// What kind of change it is; there may be more kinds in later versions.
    #[schema(example = "member_added")]
    kind: &'static str,
    /// What happened and why, for people.
    #[schema(example = "infra0 added as voter")]
    message: String,
    /// The member that it is about; null if it is not about one.
    #[schema(example = "8e9e05c52164694d")]
    member_id: Option<String>,
    /// The member's registration or the size from now on; null if it has gone, or is not what changed.
    #[schema(example = "infra0=http://10.0.0.1:2380")]
    value: Option<String>,
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
        }
    }
}
