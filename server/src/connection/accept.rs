use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    client::ClientAddress, limits::Limits, listen::log_refused_connection, overflow::Overflow, serve::serve,
    tls::CurrentTls,
};

/// How long a connection is idle before the kernel probes it, so that a long poll whose client lost power does not stay
/// open.
pub const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long to wait after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// What all connections share.
pub struct Connections {
    /// What answers requests.
    pub router: Router,
    /// `None`: the port speaks plain HTTP.
    pub tls: Option<Arc<CurrentTls>>,
    /// How much they may hold.
    pub limits: Arc<Limits>,
    /// The connections beyond the limit.
    pub overflow: Overflow,
    /// Cancelled when the server begins to stop: no connection is accepted any more, and open ones end after their requests.
    pub stopping: CancellationToken,
    /// Cancelled when open requests have had their time.
    pub cut: CancellationToken,
    /// The tasks of the connections.
    pub open: TaskTracker,
}

/// Accepts connections until the server stops.
pub async fn accept(listener: TcpListener, connections: Arc<Connections>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            biased;
            () = connections.stopping.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                configure(&stream);
                start(stream, peer, &connections);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                log_refused_connection(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// How long a connection beyond the limit may take for its one request.
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(2);

fn start(stream: TcpStream, peer: SocketAddr, connections: &Arc<Connections>) {
    let limits = &connections.limits;
    let address = ClientAddress::of_peer(peer).ip();
    let network = limits.limited_network(address);
    // To answer would cost more than such a client spends, so its connection ends without a word, and leaves nothing in the kernel.
    if network.is_some_and(|network| limits.resets.refuse(network)) {
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return;
    }
    let place = limits.connections.take(network);
    let is_beyond = place.is_err();
    let served = serve(stream, peer, connections.clone(), place);
    if is_beyond {
        let refused =
            connections.open.spawn(async { tokio::time::timeout(OVERFLOW_TIMEOUT, served).await.unwrap_or_default() });
        connections.overflow.add(network, refused.abort_handle());
    } else {
        connections.open.spawn(served);
    }
}

/// A socket whose options can't be set is broken, and its first use reports that.
fn configure(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// Whether a client disconnected early, which is no error of the server.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
