use std::{io, net::TcpListener, sync::Arc, time::Duration};

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{listen::log_refused_connection, serve, tls::CurrentTls};

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
                let shared = connections.clone();
                connections.open.spawn(serve::serve(stream, peer, shared));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                log_refused_connection(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
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
