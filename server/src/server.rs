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
    registry::Registry,
    router::router,
    store::{OpenError, Store},
    sweep::{flush, sweep},
};

/// How long a client may take to send a request's head, the wait for the next request included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long open requests get to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// The kernel asks a silent client whether it is still there after this long, so that a long poll
/// whose client lost its power does not stay open.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The most requests that one HTTP/2 connection may have open. gRPC clients keep one connection, and each of their
/// watch streams is one request.
const MAX_STREAMS: u32 = 2048;

/// How many requests a client may open and give up on one connection before we have looked at them; beyond this it is
/// cut off. A client that ends many watches at once is not to be taken for one that floods us.
const MAX_RESET_STREAMS: usize = 1024;

/// How many bytes a client may send ahead on one HTTP/2 request, and on all of a connection together. The HTTP/2 library ends
/// a connection on which some 2,000 small frames are unread (`h2/src/proto/streams/counts.rs:record_data_frame`), which one
/// request must not come to: the smallest message that makes sense, the end of a watch, has nine bytes.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How many bytes of an answer wait for a client that does not read it.
const SEND_BUFFER: usize = 64 << 10;

/// How many bytes the headers of an HTTP/2 request may have.
const MAX_HEADERS: u32 = 16 << 10;

/// How many connections the kernel may hold for us until we accept them.
const BACKLOG: u32 = 4096;

/// Why the server can't start or go on; each is one line for whoever started it.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address is taken, not ours or not one.
    #[error("--listen {listen} is not possible: {source}")]
    Listen {
        /// The address.
        listen: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The operating system refused something.
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
    /// The task that writes is gone, so nothing could be registered any more.
    #[error("the task that writes to the database ended unexpectedly; every acknowledged write is on the disk")]
    CommitterEnded,
}

/// Serves until it is told to stop by SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), ServerError> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(config));
    // A disk that hangs must not keep the process.
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(config: Config) -> Result<(), ServerError> {
    // Before anything says that the server runs: without a handler a signal would end it in the middle of a request.
    let stop = StopSignals::install()?;
    // The port comes first: where another server has it, its database is none of our business.
    let listener = listen(&config.listen).await?;
    let address = listener.local_addr()?;
    let store = Arc::new(Store::open(&config.database.database_url, config.database.limits()).await?);
    let (registry, mut committer) = Registry::start(store.clone()).await;
    let app = Arc::new(app(&config, address, registry));
    let sweeper = tokio::spawn(sweep(app.clone(), config.unformed_ttl));
    let flusher = tokio::spawn(flush(app.clone()));

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
    // What is lost here is when somebody was last heard of, which is no reason to hold up the end.
    let _ = tokio::time::timeout(GRACE, app.registry.flush_liveness()).await;
    drop(app);
    // The committer ends once nobody can give it work; a client that was cut off may hold it up no longer.
    if !committer.is_finished() {
        let _ = tokio::time::timeout(GRACE, committer).await;
    }
    if tokio::time::timeout(GRACE, store.close()).await.is_err() {
        tracing::warn!("the database did not close in time; nothing is lost, the next start recovers it");
    }
    tracing::info!("stopped; everything acknowledged is on the disk");
    result
}

fn app(config: &Config, address: SocketAddr, registry: Registry) -> App {
    if config.public_url.is_none() && address.ip().is_unspecified() {
        tracing::warn!(
            "--public-url is not set, so discovery URLs from /new work on this machine only; \
             set it to the URL by which etcds reach this server"
        );
    }
    let public_url = config.public_url.clone().unwrap_or_else(|| PublicUrl::of(address));
    App {
        registry_id: HeaderValue::from_str(registry.id()).unwrap_or(HeaderValue::from_static("0")),
        registry,
        public_url: public_url.as_str().to_owned(),
        endpoint: public_url.origin(),
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
    // A server that is started again gets its port while connections of the last one are still closing.
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
    // etcd and curl users know these headers by their capitals.
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

/// Says that connections can't be accepted, as when too many files are open: once a minute, because it then happens
/// many times a second.
fn log_refused_connection(remote: Option<&SocketAddr>, error: &io::Error) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // With an address it is a client that has gone before it was served, and nothing is wrong here.
    if remote.is_some() {
        return;
    }
    let mut last = LAST.lock().expect("no holder panics");
    if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
        *last = Some(Instant::now());
        tracing::error!(%error, "connections can't be accepted; if too many files are open, raise the limit (ulimit -n, LimitNOFILE=)");
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

/// Each long poll is an open connection, and the limit that processes start with is often 1024.
fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files can't be raised; it limits how many etcds can wait at once");
    }
}
