use convene_lifecycle::{JoinToken, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Timestamp;

/// A join token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JoinToken)]
pub struct JoinTokenBody {
    /// Its public ID.
    #[schema(example = "join-6f1ed002ab559585")]
    id: String,
    /// The only node that may use it; null if any may.
    #[schema(example = "infra3")]
    node: Option<String>,
    /// The only addresses from which it may be used; null if from all.
    #[schema(example = "10.0.0.0/16")]
    cidr: Option<String>,
    /// When it was created.
    created_at: Timestamp,
    /// From when on it lets nobody in.
    expires_at: Timestamp,
    /// How many nodes it may let in, each once.
    #[schema(minimum = 1, example = 3)]
    uses: u32,
    /// The names of the nodes that it has let in.
    #[schema(example = json!(["infra1", "infra2"]))]
    used_by: Vec<String>,
    /// When it was revoked; null if it was not.
    revoked_at: Option<Timestamp>,
    /// Whether it still lets a node in.
    valid: bool,
}

impl JoinTokenBody {
    pub fn new(token: &JoinToken, now: UnixMillis) -> Self {
        Self {
            id: token.id(),
            node: token.node.as_ref().map(ToString::to_string),
            cidr: token.cidr.map(|cidr| cidr.to_string()),
            created_at: Timestamp(token.created_at),
            expires_at: Timestamp(token.expires_at),
            uses: token.uses,
            used_by: token.used_by.iter().map(ToString::to_string).collect(),
            revoked_at: token.revoked_at.map(Timestamp),
            valid: token.is_valid(now),
        }
    }
}
