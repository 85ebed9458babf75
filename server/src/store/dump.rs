use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{Cluster, Event, MemberKey, Token, UnixMillis};

/// The content of a registry's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryDump {
    /// See [`super::Store::registry_id`].
    pub registry_id: String,
    /// Tokens that no cluster can have any more.
    pub used_tokens: Vec<UsedToken>,
    /// The clusters, in the order of their creation.
    pub clusters: Vec<ClusterDump>,
}

/// The content for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDump {
    /// The cluster.
    pub cluster: Cluster,
    /// Its history, oldest event first. Older events have been compacted.
    pub events: Vec<Arc<Event>>,
    /// When members were last seen. Those that are missing never were.
    pub last_seen: BTreeMap<MemberKey, UnixMillis>,
}

/// The token of a deleted cluster that had members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedToken {
    /// When the cluster was deleted.
    pub at: UnixMillis,
    /// Its token.
    pub token: Token,
}
