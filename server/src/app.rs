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
    /// Where clients of v3 discovery reach the server: the same without a path, for which gRPC has no place.
    pub endpoint: String,
    /// The largest size that a cluster may be made with.
    pub max_cluster_size: ClusterSize,
    /// How long a long poll is held before its client is told to ask again.
    pub wait_timeout: Duration,
    /// Cancelled when the server begins to stop, so that long polls end.
    pub stopping: CancellationToken,
}

#[cfg(test)]
pub mod testing {
    //! An app on a database of its own, for tests that need no sockets.

    use std::sync::Arc;

    use convene_lifecycle::{Action, Cluster, Settings, Token};
    use futures_util::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{DatabaseLimits, Store};

    /// An app with one cluster in it, and where its database is for as long as that is kept.
    pub async fn app() -> (TempDir, Arc<App>, Token) {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("c.db").display());
        let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
        let app = App {
            registry: Registry::start(Arc::new(store)).await.0,
            registry_id: HeaderValue::from_static("0"),
            public_url: String::new(),
            endpoint: String::new(),
            max_cluster_size: ClusterSize::DEFAULT,
            wait_timeout: Duration::from_secs(1),
            stopping: Default::default(),
        };
        let token: Token = "one".parse().unwrap();
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        (dir, Arc::new(app), token)
    }

    /// Sets the size so many times at once.
    pub async fn set_size(app: &App, token: &Token, times: u32) {
        let updates = (0..times).map(|n| {
            let size = ClusterSize::new(1 + n % 5).unwrap();
            app.registry.update(token, move |cluster, at| cluster.unwrap().set_size(size, Action::Set, at))
        });
        for updated in join_all(updates).await {
            updated.unwrap().unwrap();
        }
    }

    /// Deletes the cluster.
    pub async fn delete(app: &App, token: &Token) {
        let delete = |cluster: Option<&Cluster>, at| cluster.map(|cluster| cluster.delete(at)).ok_or(());
        app.registry.update(token, delete).await.unwrap().unwrap();
    }
}
