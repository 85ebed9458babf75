use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{Cluster, Event, MemberKey, Token, UnixMillis};

/// All that the database of a registry keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryDump {
    /// Names the registry; see [`super::Store::registry_id`].
    pub registry_id: String,
    /// Tokens that no cluster may be made under any more.
    pub used_tokens: Vec<UsedToken>,
    /// The clusters, in the order in which they were made.
    pub clusters: Vec<ClusterDump>,
}

/// All that is kept of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDump {
    /// The cluster.
    pub cluster: Cluster,
    /// What happened to it, oldest first; what is older has been forgotten.
    pub events: Vec<Arc<Event>>,
    /// When members were last heard of, of those who were.
    pub last_seen: BTreeMap<MemberKey, UnixMillis>,
}

/// The token of a cluster that was deleted after members had registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedToken {
    /// When the cluster was deleted.
    pub at: UnixMillis,
    /// Its token.
    pub token: Token,
}
