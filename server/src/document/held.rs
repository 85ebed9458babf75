use convene_lifecycle::{ClusterId, Held, HoldReason, MemberName};
use serde::{Deserialize, Serialize};

use super::{or_null, problems::Place, rfc3339_millis::Rfc3339Millis};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldDocument {
    since: Rfc3339Millis,
    reason: String,
    /// Null: the registry itself found the reason.
    #[serde(deserialize_with = "or_null")]
    node: Option<String>,
    /// Null: not known.
    #[serde(deserialize_with = "or_null")]
    cluster_id: Option<String>,
}

impl From<&Held> for HeldDocument {
    fn from(held: &Held) -> Self {
        Self {
            since: held.since.into(),
            reason: held.reason.as_str().to_owned(),
            node: held.node.as_ref().map(ToString::to_string),
            cluster_id: held.cluster.map(|id| id.to_string()),
        }
    }
}

impl HeldDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<Held> {
        let since = place.field("since", self.since.read());
        let reason = place.field("reason", self.reason.parse::<HoldReason>());
        let node = place.optional("node", self.node.as_ref().map(|name| name.parse::<MemberName>()));
        let cluster = place.optional("cluster_id", self.cluster_id.as_ref().map(|id| id.parse::<ClusterId>()));
        Some(Held { since: since?, reason: reason?, node: node?, cluster: cluster? })
    }
}
