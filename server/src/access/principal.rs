use std::sync::Arc;

use convene_lifecycle::{MemberName, PublicId};

use super::{ApiToken, Role, Scope};

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Somebody without a credential.
    Anonymous,
    /// Anybody, because the server runs with `--auth off`.
    Unchecked,
    /// The holder of an API token.
    ApiToken(Arc<ApiToken>),
    /// The holder of a client certificate with a role for all clusters.
    Certificate {
        /// The name in the certificate that has the role.
        name: Arc<str>,
        /// The role.
        role: Role,
    },
    /// A node with a credential of its own.
    Node {
        /// Its cluster.
        cluster: PublicId,
        /// Its name.
        name: MemberName,
    },
}

impl Principal {
    /// The role and its scope. `None` if the principal has no role.
    pub fn role(&self) -> Option<(Role, &Scope)> {
        match self {
            Self::Anonymous | Self::Node { .. } => None,
            Self::Unchecked => Some((Role::Admin, &Scope::All)),
            Self::ApiToken(token) => Some((token.role, &token.scope)),
            Self::Certificate { role, .. } => Some((*role, &Scope::All)),
        }
    }

    /// Whether it has at least a role for all clusters.
    pub fn has_for_all(&self, least: Role) -> bool {
        self.role().is_some_and(|(role, scope)| role >= least && *scope == Scope::All)
    }

    /// Whether it has at least a role for a cluster.
    pub fn has_for(&self, least: Role, cluster: PublicId) -> bool {
        self.role().is_some_and(|(role, scope)| role >= least && scope.includes(cluster))
    }

    /// Its public name in events and logs. Somebody without a credential who changes a cluster knows its discovery token.
    pub fn public_name(&self) -> Arc<str> {
        match self {
            Self::Anonymous => "discovery-token".into(),
            Self::Unchecked => "anonymous".into(),
            Self::ApiToken(token) => token.id.as_str().into(),
            Self::Certificate { name, .. } => format!("certificate {name}").into(),
            Self::Node { name, .. } => format!("node {name}").into(),
        }
    }
}
