use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

/// How many connections the kernel may queue until the server accepts them.
const BACKLOG: u32 = 4096;

/// Binds the port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server can bind its port while connections of the previous process are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Logs that connections can't be accepted, for example because too many files are open: at most once a minute, because
/// the error then occurs many times a second.
pub fn log_refused_connection(error: &io::Error) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().expect("no holder panics");
    if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
        *last = Some(Instant::now());
        tracing::error!(%error, "can't accept connections; if too many files are open, raise the limit (ulimit -n, LimitNOFILE=)");
    }
}
