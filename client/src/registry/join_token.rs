use convene_lifecycle::{Cidr, MemberName};
use serde::{Deserialize, Serialize};

use super::{RegistryError, Verbatim};
use crate::{credential::is_join_token, discovery_url::ServerUrl};

/// A join token to be created. The server has a default for each field.
#[derive(Debug, Default, Serialize)]
pub struct NewJoinToken {
    /// The only node that may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<MemberName>,
    /// The only addresses from which it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// For how long it lets nodes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// How many nodes it may let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
}

/// The fields of a join token that the client shows or uses.
#[derive(Clone, Debug, Deserialize)]
pub struct JoinToken {
    /// Its public ID.
    pub id: String,
    /// The only node that may use it.
    pub node: Option<String>,
    /// The only addresses from which it may be used.
    pub cidr: Option<String>,
    /// When it expires (RFC 3339).
    pub expires_at: String,
    /// How many nodes it may let in.
    pub uses: u64,
    /// The nodes that it has let in.
    pub used_by: Vec<String>,
    /// When it was revoked (RFC 3339).
    pub revoked_at: Option<String>,
    /// Whether it still lets a node in.
    pub valid: bool,
    /// The secret, in the answer to its creation only.
    secret: Option<String>,
}

impl JoinToken {
    /// The secret of a join token that was just created. Anything else in its place could be text for a shell or a terminal.
    pub fn secret(&self, server: &ServerUrl) -> Result<&str, RegistryError> {
        self.secret.as_deref().filter(|secret| is_join_token(secret)).ok_or_else(|| RegistryError::NotConvene {
            server: server.clone(),
            problem: "is not a Convene server: its response has no join token".to_owned(),
        })
    }
}

/// The join tokens of a cluster.
#[derive(Debug, Deserialize)]
pub struct JoinTokens {
    /// The join tokens, oldest first.
    pub join_tokens: Vec<Verbatim<JoinToken>>,
}
