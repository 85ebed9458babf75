use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use sd_notify::NotifyState;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, AuthMode, NotOnLoopback},
    app::App,
    browsers::{Browsers, Hosts},
    config::{AccessArgs, Config, PublicUrl},
    connection::{Connections, CurrentTls, Limits, Overflow, TlsError, accept, bind, reload_on_change},
    metrics::Metrics,
    new_clusters::CreationLimits,
    periodic_tasks::{flush, follow_api_tokens, measure, sweep, watch_database},
    rates::Rates,
    registry::{Registry, WriteError},
    router::router,
    setup::{Setup, SetupError},
    store::{OpenError, Store, StoreError},
    v2::Folders,
    waiting::Waiting,
};

/// How long open requests get to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Why the server can't start or continue. Each message is one line.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address is in use, does not belong to this machine, or is invalid.
    #[error("can't listen on {listen} (--listen): {source}")]
    Listen {
        /// The address.
        listen: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Everybody could administer the server by mistake.
    #[error(transparent)]
    NotOnLoopback(#[from] NotOnLoopback),
    /// The API tokens can't be read at the start.
    #[error("can't read the API tokens: {0}")]
    Access(StoreError),
    /// The set-up can't be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The database can't be read or written at the start.
    #[error(transparent)]
    Registry(#[from] WriteError),
    /// The certificate, its key or the CAs of clients can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A system call failed.
    #[error("the operating system reported an error: {0}")]
    System(#[from] io::Error),
    /// The committer ended, so nothing can be registered any more.
    #[error("the task that writes to the database ended unexpectedly; every acknowledged write is on disk")]
    CommitterEnded,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(mut config: Config) -> Result<(), ServerError> {
    let setup = Setup::prepare(&mut config)?;
    let open_files = raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(config, setup, open_files));
    // A hanging disk must not keep the process alive.
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(config: Config, setup: Option<Setup>, open_files: u64) -> Result<(), ServerError> {
    // Before the server reports that it runs: without a handler, a signal would kill it in the middle of a request.
    let stop = StopSignals::install()?;
    let tls = CurrentTls::load(&config.tls)?;
    let reloader = match &tls {
        Some(tls) => Some(tokio::spawn(reload_on_change(tls.clone(), signal(SignalKind::hangup())?))),
        None => None,
    };
    // The port comes before the database: if another server uses it, this server must not touch that server's database.
    let listener = listen(&config.listen).await?;
    let address = listener.local_addr()?;
    config.access.auth.check(address, config.access.allow_unauthenticated)?;
    let store = Arc::new(Store::open(config.database.url(), config.database.limits()).await?);
    let AccessArgs { auth, certificate_rules, .. } = config.access.clone();
    let is_exposed = auth == AuthMode::Off && !address.ip().is_loopback();
    let access =
        Access::start(auth, is_exposed, store.clone(), certificate_rules).await.map_err(ServerError::Access)?;
    let (registry, mut committer) = Registry::start(store.clone(), config.quotas.quota()).await;
    registry.hold_if_database_went_back().await?;
    let limits = Limits::new(&config.limits, open_files);
    let app = Arc::new(app(&config, tls.as_deref(), limits, address, access, registry));
    let how_to_join = match setup {
        Some(setup) => setup.finish(&app).await?,
        None => None,
    };
    let sweeper = tokio::spawn(sweep(app.clone(), config.abandoned_ttls()));
    let measurer = tokio::spawn(measure(app.clone()));
    let flusher = tokio::spawn(flush(app.clone()));
    let access_follower = tokio::spawn(follow_api_tokens(app.clone()));
    let watcher = store.is_shared().then(|| tokio::spawn(watch_database(app.clone())));

    let connections = Arc::new(Connections {
        router: router(app.clone()),
        tls,
        limits: app.limits.clone(),
        overflow: Overflow::default(),
        stopping: app.stopping.clone(),
        cut: CancellationToken::new(),
        open: TaskTracker::new(),
    });
    let mut accepting = tokio::spawn(accept(listener, connections.clone()));
    tracing::info!(
        "convene-server {} listens on {}://{address}, database {}, discovery URLs begin with {}",
        env!("CARGO_PKG_VERSION"),
        app.scheme,
        store.name(),
        app.public_url
    );
    if let Some(how_to_join) = how_to_join {
        // Who closed standard output finds the same in the files.
        let _ = write!(io::stdout(), "{how_to_join}");
    }
    notify_service_manager(NotifyState::Ready);
    if app.access.is_exposed {
        tracing::warn!("--auth off: everybody who reaches {address} can read, change and delete all clusters");
    }
    let result = tokio::select! {
        () = stop.received() => Ok(()),
        _ = &mut committer => Err(ServerError::CommitterEnded),
        ended = &mut accepting => Err(ended.map_or_else(io::Error::other, accepting_ended).into()),
    };

    notify_service_manager(NotifyState::Stopping);
    app.stopping.cancel();
    if !accepting.is_finished() {
        let _ = accepting.await;
    }
    connections.open.close();
    if tokio::time::timeout(GRACE, connections.open.wait()).await.is_err() {
        connections.cut.cancel();
        connections.open.wait().await;
    }
    drop(connections);
    if let Some(reloader) = reloader {
        reloader.abort();
    }
    sweeper.abort();
    measurer.abort();
    flusher.abort();
    access_follower.abort();
    if let Some(watcher) = watcher {
        watcher.abort();
    }
    let _ = tokio::time::timeout(GRACE, app.access.tokens.flush_uses()).await;
    // Only liveness can be lost here, which does not justify a longer shutdown.
    let _ = tokio::time::timeout(GRACE, app.registry.flush_liveness()).await;
    drop(app);
    // The committer ends when the last sender is dropped. A request that was cut off must not delay it further.
    if !committer.is_finished() {
        let _ = tokio::time::timeout(GRACE, committer).await;
    }
    if tokio::time::timeout(GRACE, store.close()).await.is_err() {
        tracing::warn!("the database did not close in time; no data is lost, and the next start recovers the database");
    }
    tracing::info!("stopped; every acknowledged write is on disk");
    result
}

fn app(
    config: &Config,
    tls: Option<&CurrentTls>,
    limits: Limits,
    address: SocketAddr,
    access: Access,
    registry: Registry,
) -> App {
    let scheme = if tls.is_some() { "https" } else { "http" };
    if config.public_url.is_none() && address.ip().is_unspecified() {
        tracing::warn!(
            "--public-url is not set, so discovery URLs begin with the host that the request names; set it to the URL at which \
             etcd nodes reach this server"
        );
    }
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of(scheme, address));
    let mut metrics = Metrics::new(registry.metrics(), registry.database_metrics());
    if let Some(tls) = tls {
        metrics.show_certificate(tls.not_after().clone());
    }
    metrics.show_limits(&limits);
    let more = config.allowed_hosts.iter().cloned().chain(config.public_url.as_ref().and_then(PublicUrl::host));
    let browsers = Browsers {
        hosts: Hosts::new(&config.listen, address, more),
        public_origin: config.public_url.as_ref().and_then(|url| url.origin().parse().ok()),
        v2_cors: config.v2_cors.clone(),
    };
    let quotas = &config.quotas;
    let rates = Arc::new(Rates::new(
        quotas.max_requests_per_second,
        quotas.max_total_requests_per_second,
        quotas.max_new_per_hour,
    ));
    let quota = registry.quota().clone();
    let creation_limits = Arc::new(CreationLimits { mode: config.new, rates: rates.clone(), quota });
    App {
        access,
        browsers,
        metrics,
        registry_id: HeaderValue::from_str(registry.id()).unwrap_or(HeaderValue::from_static("0")),
        registry,
        public_url: public_url.as_str().to_owned(),
        has_public_url: config.public_url.is_some(),
        scheme,
        endpoint: public_url.origin(),
        v2_folders: Folders::with(&config.v2_folders),
        waiting: Waiting::default(),
        max_cluster_size: config.max_cluster_size,
        creation_limits,
        rates,
        stock_writes: config.stock_writes,
        wait_timeout: config.wait_timeout,
        limits: Arc::new(limits),
        stopping: CancellationToken::new(),
    }
}

async fn listen(address: &str) -> Result<TcpListener, ServerError> {
    let refused = |source| ServerError::Listen { listen: address.to_owned(), source };
    let resolved = tokio::net::lookup_host(address).await.map_err(refused)?.next();
    let resolved = resolved.ok_or_else(|| refused(io::ErrorKind::AddrNotAvailable.into()))?;
    bind(resolved).map_err(refused)
}

/// Reports to systemd, or to another service manager that has started this server (`sd_notify(3)`).
fn notify_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "can't report the state of this server to the service manager (NOTIFY_SOCKET)");
    }
}

fn accepting_ended(result: io::Result<()>) -> io::Error {
    result.err().unwrap_or_else(|| io::Error::other("the listener closed"))
}

/// The signals that stop the server.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}

/// Each long poll is an open connection, and the default soft limit is often 1024. Returns the limit.
fn raise_open_files() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "can't raise the limit of open files, which limits the number of connections");
        rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
    })
}
