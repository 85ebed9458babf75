use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};
use convene_lifecycle::{ClusterSize, StockWrites};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, Caller},
    browsers::Browsers,
    connection::Limits,
    metrics::Metrics,
    new_clusters::{CreationLimits, NewClusters},
    rates::Rates,
    registry::Registry,
    v2::Folders,
    waiting::Waiting,
};

/// The state that all request handlers share.
pub struct App {
    /// Who may do what.
    pub access: Access,
    /// The clusters.
    pub registry: Registry,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// The registry's ID, for v2 responses (`X-Etcd-Cluster-Id`).
    pub registry_id: HeaderValue,
    /// The base of discovery URLs; no slash at the end.
    pub public_url: String,
    /// Whether `--public-url` is set. If not, `public_url` is the listening address.
    pub has_public_url: bool,
    /// How clients reach the server: `https` if it speaks TLS, otherwise `http`.
    pub scheme: &'static str,
    /// The endpoint for v3 discovery: `public_url` without its path, because a gRPC target has none.
    pub endpoint: String,
    /// From where browsers may use this server.
    pub browsers: Browsers,
    /// The folders of v2 discovery.
    pub v2_folders: Folders,
    /// Which nodes wait for the others of their cluster by discovery.
    pub waiting: Waiting,
    /// The largest size that a cluster may have.
    pub max_cluster_size: ClusterSize,
    /// Who may create clusters by `/new`, v2 and v3, and how many.
    pub creation_limits: Arc<CreationLimits>,
    /// How many requests clients may make.
    pub rates: Arc<Rates>,
    /// The policy `stock_writes` of clusters that v2 and v3 clients create.
    pub stock_writes: StockWrites,
    /// How long a long poll may last before the server ends it and the client asks again.
    pub wait_timeout: Duration,
    /// How much clients may hold.
    pub limits: Arc<Limits>,
    /// Cancelled when the server begins to stop, so that long polls end.
    pub stopping: CancellationToken,
}

impl App {
    /// The terms on which a v2 or v3 client may create a cluster.
    pub fn new_clusters(&self, caller: &Caller) -> NewClusters {
        NewClusters {
            max_size: self.max_cluster_size,
            stock_writes: self.stock_writes,
            limits: self.creation_limits.clone(),
            caller: caller.clone(),
        }
    }

    /// The base of discovery URLs, as the client of a request reaches the server: by `--public-url`, and without it by the
    /// host that the request names. For answers that nobody keeps and only that client reads.
    pub fn url_as_asked(&self, uri: &Uri, headers: &HeaderMap) -> String {
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        // HTTP/2 has the host in the URI.
        let named = uri.authority().map(Authority::as_str).or(named);
        let host = named.and_then(|host| host.parse::<Authority>().ok()).filter(|host| !host.as_str().contains('@'));
        match host {
            Some(host) if !self.has_public_url => format!("{}://{host}", self.scheme),
            _ => self.public_url.clone(),
        }
    }
}

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, expect(dead_code, reason = "the fuzz targets change the cluster by requests only"))]
pub mod testing {
    //! An app with its own database, for tests and fuzz targets that need no sockets.

    use convene_lifecycle::{Action, Actor, Cluster, Settings, Token};
    use futures_util::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        access::AuthMode,
        browsers::Hosts,
        config::LimitArgs,
        new_clusters::NewMode,
        registry::QuotaLimits,
        store::{DatabaseLimits, Store},
    };

    /// The address by which it may be asked.
    pub const ADDRESS: &str = "127.0.0.1:8087";

    /// An app with one cluster. The database exists until the directory is dropped.
    pub async fn app() -> (TempDir, Arc<App>, Token) {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("c.db").display());
        let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
        let store = Arc::new(store);
        let access = Access::start(AuthMode::Off, false, store.clone(), Vec::new()).await.unwrap();
        let rates = Arc::new(Rates::new(0, 0, 0));
        let registry = Registry::start(store, QuotaLimits::NONE).await.0;
        let quota = registry.quota().clone();
        let creation_limits = Arc::new(CreationLimits { mode: NewMode::Open, rates: rates.clone(), quota });
        let app = App {
            access,
            metrics: Metrics::new(registry.metrics(), registry.database_metrics()),
            registry,
            registry_id: HeaderValue::from_static("0"),
            public_url: String::new(),
            has_public_url: false,
            scheme: "http",
            endpoint: String::new(),
            browsers: Browsers { hosts: Hosts::new(ADDRESS, ADDRESS.parse().unwrap(), []), ..Browsers::default() },
            v2_folders: Folders::default(),
            waiting: Waiting::default(),
            max_cluster_size: ClusterSize::DEFAULT,
            creation_limits,
            rates,
            stock_writes: StockWrites::default(),
            wait_timeout: Duration::from_secs(1),
            limits: Arc::new(Limits::new(&LimitArgs::default(), u64::MAX)),
            stopping: Default::default(),
        };
        let token: Token = "one".parse().unwrap();
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        (dir, Arc::new(app), token)
    }

    /// Sets the size `times` times concurrently.
    pub async fn set_size(app: &App, token: &Token, times: u32) {
        let actor = Actor::server();
        let updates = (0..times).map(|n| {
            let size = ClusterSize::new(1 + n % 5).unwrap();
            app.registry.update(token, &actor, move |cluster, at| cluster.unwrap().set_size(size, Action::Set, at))
        });
        for updated in join_all(updates).await {
            updated.unwrap().unwrap();
        }
    }

    /// Deletes the cluster.
    pub async fn delete(app: &App, token: &Token) {
        let delete = |cluster: Option<&Cluster>, at| cluster.map(|cluster| cluster.delete(at)).ok_or(());
        app.registry.update(token, &Actor::server(), delete).await.unwrap().unwrap();
    }
}
