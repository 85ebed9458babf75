use std::{collections::BTreeSet, fmt, str::FromStr};

use clap::ValueEnum;
use convene_lifecycle::PublicId;
use serde::Serialize;
use utoipa::ToSchema;

/// What the holder of a credential may do. A role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema, ValueEnum)]
#[schema(as = AccessRole)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read clusters; with all clusters in scope, read the metrics.
    Reader,
    /// Also change clusters.
    Operator,
    /// Also create clusters and manage API tokens. Its scope is always all clusters.
    Admin,
}

impl Role {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is no [`Role`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of reader, operator and admin")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        [Self::Reader, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// The clusters that a role is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every cluster, also those that do not exist yet.
    All,
    /// These.
    Clusters(BTreeSet<PublicId>),
}

impl Scope {
    /// Whether a cluster is in the scope.
    pub fn includes(&self, cluster: PublicId) -> bool {
        match self {
            Self::All => true,
            Self::Clusters(clusters) => clusters.contains(&cluster),
        }
    }
}
