use std::{net::SocketAddr, time::Duration};

use convene_lifecycle::PeerUrl;
use reqwest::Url;
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

/// The TCP port of a peer URL, without regard to who listens there.
#[derive(Debug)]
pub struct PeerPort {
    host: String,
    port: u16,
}

impl PeerPort {
    /// The port of a URL; `None` if the URL has none, as one of a Unix socket.
    pub fn of(url: &PeerUrl) -> Option<Self> {
        let url = Url::parse(url.as_str()).ok()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// Whether a process accepts connections. One that is suspended does.
    pub async fn accepts_connections(&self, within: Duration) -> bool {
        matches!(timeout(within, TcpStream::connect((&*self.host, self.port))).await, Ok(Ok(_)))
    }

    /// Whether this machine has all addresses of the host, and no process listens at the port. False if that is not known within
    /// the time.
    pub async fn is_free_here(&self, within: Duration) -> bool {
        let Ok(Ok(addresses)) = timeout(within, lookup_host((&*self.host, self.port))).await else { return false };
        let addresses: Vec<_> = addresses.collect();
        !addresses.is_empty() && addresses.into_iter().all(can_be_bound)
    }
}

/// Nobody can connect meanwhile, because the socket does not listen.
fn can_be_bound(address: SocketAddr) -> bool {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    // As etcd does it: connections of the last process may linger.
    socket.is_ok_and(|socket| socket.set_reuseaddr(true).and_then(|()| socket.bind(address)).is_ok())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(5);

    fn port(url: &str) -> PeerPort {
        PeerPort::of(&url.parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_port_is_free_if_it_can_be_bound_here() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
            let taken = port(&format!("http://{host}:{}", address.port()));
            assert!(taken.accepts_connections(WITHIN).await && !taken.is_free_here(WITHIN).await, "{host}");
        }
        drop(listener);
        let free = port(&format!("https://{address}"));
        assert!(!free.accepts_connections(WITHIN).await && free.is_free_here(WITHIN).await);
        // An address of documentation, which no machine has (RFC 5737).
        assert!(!port("http://192.0.2.1:2380").is_free_here(WITHIN).await);
        assert!(!port("http://no-such-host.invalid:2380").is_free_here(WITHIN).await);
    }
}
