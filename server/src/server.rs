use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use axum_server::{
    Handle,
    accept::{TcpConfigAcceptor, TcpKeepaliveConfig, TcpSocketConfig},
};
use hyper_util::rt::TokioTimer;
use thiserror::Error;
use tokio::{
    net::TcpSocket,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config::{Config, PublicUrl},
    metrics::Metrics,
    periodic_tasks::{flush, sweep, watch_database},
    registry::{Registry, WriteError},
    router::router,
    store::{OpenError, Store},
    v2::Folders,
    waiting::Waiting,
};

/// How long a client may take to send a request's head, the wait for the next request included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long open requests get to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// How long a connection is idle before the kernel probes it, so that a long poll whose client lost power does not stay
/// open.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The most requests that one HTTP/2 connection may have open. gRPC clients keep one connection, and each of their
/// watch streams is one request.
const MAX_STREAMS: u32 = 2048;

/// How many requests a client may reset on one connection before the server accepts them. A client that exceeds the
/// limit is disconnected. It is high enough for a client that ends many watches at once.
const MAX_RESET_STREAMS: usize = 1024;

/// The flow-control windows of an HTTP/2 request and of an HTTP/2 connection, in bytes. The HTTP/2 library closes a
/// connection with about 2,000 unread small frames (`h2/src/proto/streams/counts.rs:record_data_frame`). One request must not
/// reach that limit: the smallest useful message, the end of a watch, has nine bytes.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How many bytes of a response are buffered for a client that does not read.
const SEND_BUFFER: usize = 64 << 10;

/// How many bytes the headers of an HTTP/2 request may have.
const MAX_HEADERS: u32 = 16 << 10;

/// How many connections the kernel may queue until the server accepts them.
const BACKLOG: u32 = 4096;

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
    /// The database can't be read or written at the start.
    #[error(transparent)]
    Registry(#[from] WriteError),
    /// A system call failed.
    #[error("the operating system reported an error: {0}")]
    System(#[from] io::Error),
    /// The committer ended, so nothing can be registered any more.
    #[error("the task that writes to the database ended unexpectedly; every acknowledged write is on disk")]
    CommitterEnded,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), ServerError> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(config));
    // A hanging disk must not keep the process alive.
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(config: Config) -> Result<(), ServerError> {
    // Before the server reports that it runs: without a handler, a signal would kill it in the middle of a request.
    let stop = StopSignals::install()?;
    // The port comes first: if another server uses it, this server must not touch that server's database.
    let listener = listen(&config.listen).await?;
    let address = listener.local_addr()?;
    let store = Arc::new(Store::open(&config.database.database_url, config.database.limits()).await?);
    let (registry, mut committer) = Registry::start(store.clone()).await;
    registry.hold_if_database_went_back().await?;
    let app = Arc::new(app(&config, address, registry));
    let sweeper = tokio::spawn(sweep(app.clone(), config.unformed_ttl));
    let flusher = tokio::spawn(flush(app.clone()));
    let watcher = store.is_shared().then(|| tokio::spawn(watch_database(app.clone())));

    let handle = Handle::new();
    let mut connections = tokio::spawn(serve_connections(listener, app.clone(), handle.clone()));
    tracing::info!(
        "convene-server {} listens on http://{address}, database {}, discovery URLs begin with {}",
        env!("CARGO_PKG_VERSION"),
        store.name(),
        app.public_url
    );
    let result = tokio::select! {
        () = stop.received() => Ok(()),
        _ = &mut committer => Err(ServerError::CommitterEnded),
        ended = &mut connections => Err(ended.map_or_else(io::Error::other, connections_ended).into()),
    };

    app.stopping.cancel();
    handle.graceful_shutdown(Some(GRACE));
    if !connections.is_finished() {
        let _ = connections.await;
    }
    sweeper.abort();
    flusher.abort();
    if let Some(watcher) = watcher {
        watcher.abort();
    }
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

fn app(config: &Config, address: SocketAddr, registry: Registry) -> App {
    if config.public_url.is_none() && address.ip().is_unspecified() {
        tracing::warn!(
            "--public-url is not set, so discovery URLs begin with the host that the request names; set it to the URL at which \
             etcd nodes reach this server"
        );
    }
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of(address));
    App {
        metrics: Metrics::new(registry.metrics(), registry.database_metrics()),
        registry_id: HeaderValue::from_str(registry.id()).unwrap_or(HeaderValue::from_static("0")),
        registry,
        public_url: public_url.as_str().to_owned(),
        has_public_url: config.public_url.is_some(),
        endpoint: public_url.origin(),
        v2_folders: Folders::with(&config.v2_folders),
        waiting: Waiting::default(),
        max_cluster_size: config.max_cluster_size,
        wait_timeout: config.wait_timeout,
        stopping: CancellationToken::new(),
    }
}

async fn listen(address: &str) -> Result<TcpListener, ServerError> {
    let refused = |source| ServerError::Listen { listen: address.to_owned(), source };
    let resolved = tokio::net::lookup_host(address).await.map_err(refused)?.next();
    let resolved = resolved.ok_or_else(|| refused(io::ErrorKind::AddrNotAvailable.into()))?;
    bind(resolved).map_err(refused)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server can bind its port while connections of the previous process are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

async fn serve_connections(listener: TcpListener, app: Arc<App>, handle: Handle<SocketAddr>) -> io::Result<()> {
    let socket = TcpSocketConfig::new().nodelay(true).keepalive(TcpKeepaliveConfig::new().time(KEEPALIVE));
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle)
        .first_request_timeout(HEAD_TIMEOUT)
        .accept_error_handler(log_refused_connection);
    let mut http1 = server.http_builder().http1();
    // Like etcd and discovery.etcd.io, which are Go programs.
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).title_case_headers(true);
    let mut http2 = server.http_builder().http2();
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(HEAD_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS);
    server
        .acceptor(TcpConfigAcceptor::new(socket))
        .serve(router(app).into_make_service_with_connect_info::<SocketAddr>())
        .await
}

/// Logs that connections can't be accepted, for example because too many files are open: at most once a minute, because
/// the error then occurs many times a second.
fn log_refused_connection(remote: Option<&SocketAddr>, error: &io::Error) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // With an address, the client disconnected early, which is no error of the server.
    if remote.is_some() {
        return;
    }
    let mut last = LAST.lock().expect("no holder panics");
    if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
        *last = Some(Instant::now());
        tracing::error!(%error, "can't accept connections; if too many files are open, raise the limit (ulimit -n, LimitNOFILE=)");
    }
}

fn connections_ended(result: io::Result<()>) -> io::Error {
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

/// Each long poll is an open connection, and the default soft limit is often 1024.
fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "can't raise the limit of open files, which limits the number of concurrent long polls");
    }
}
