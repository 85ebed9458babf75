use std::time::Duration;

use axum::http::HeaderValue;
use convene_lifecycle::ClusterSize;
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;

/// What every request handler can reach.
pub struct App {
    /// The clusters.
    pub registry: Registry,
    /// Names the registry in answers of the v2 face.
    pub registry_id: HeaderValue,
    /// What discovery URLs begin with; no slash at the end.
    pub public_url: String,
    /// The largest size that a cluster may be made with.
    pub max_cluster_size: ClusterSize,
    /// How long a long poll is held before its client is told to ask again.
    pub wait_timeout: Duration,
    /// Cancelled when the server begins to stop, so that long polls end.
    pub stopping: CancellationToken,
}
