use std::borrow::Cow;

use convene_lifecycle::PublicId;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    access::{ApiToken, Role, Scope, TokenName},
    api::{
        body::{Limits, Scalar, scalar, text},
        time::Timestamp,
    },
};

/// An API token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
pub struct ApiTokenBody {
    /// Its public name, which events and logs show.
    #[schema(example = "tok-5e0f3c1a2b4d6879")]
    id: String,
    /// What people call it.
    #[schema(example = "dashboard")]
    name: String,
    /// What its holder may do.
    role: Role,
    /// The IDs of the clusters that the role is for; null if it is for all.
    clusters: Option<Vec<String>>,
    /// When it was created.
    created_at: Timestamp,
    /// Who created it: the public name of a credential, or `command line`.
    #[schema(example = "command line")]
    created_by: String,
    /// When it stops being valid; null if never.
    expires_at: Option<Timestamp>,
    /// When it was last used, to a minute or so; null if it never was.
    last_used_at: Option<Timestamp>,
    /// When it was revoked; null if it was not.
    revoked_at: Option<Timestamp>,
}

impl From<&ApiToken> for ApiTokenBody {
    fn from(token: &ApiToken) -> Self {
        let clusters = match &token.scope {
            Scope::All => None,
            Scope::Clusters(clusters) => Some(clusters.iter().map(ToString::to_string).collect()),
        };
        Self {
            id: token.id.to_string(),
            name: token.name.as_str().to_owned(),
            role: token.role,
            clusters,
            created_at: Timestamp(token.created_at),
            created_by: token.created_by.clone(),
            expires_at: token.expires_at.map(Timestamp),
            last_used_at: token.last_used_at.map(Timestamp),
            revoked_at: token.revoked_at.map(Timestamp),
        }
    }
}

/// The ID of a cluster in the scope of a token.
#[derive(Debug)]
pub struct ClusterInScope(pub PublicId);

impl<'de> Deserialize<'de> for ClusterInScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl Scalar for ClusterInScope {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "the ID of a cluster: cl- and 16 hexadecimal digits in lower case".into()
    }

    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^cl-[0-9a-f]{16}$")).into()
    }
}

impl<'de> Deserialize<'de> for TokenName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Scalar for TokenName {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-'".into()
    }

    fn schema() -> RefOr<Schema> {
        let pattern = "^[A-Za-z0-9._@-]+$";
        text().min_length(Some(1)).max_length(Some(TokenName::MAX_LEN)).pattern(Some(pattern)).into()
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

scalar!(Role, "one of reader, operator and admin", schema of Role);
