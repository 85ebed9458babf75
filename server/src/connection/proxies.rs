use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use thiserror::Error;

use super::{client::ClientAddress, forwarded};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word about the address of a client counts.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// A request whose headers contradict each other: one of them is the client's own, so neither can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "Forwarded and X-Forwarded-For name different clients; configure the proxy in front of this server to remove the header \
     that it does not set itself"
)]
pub struct Contradiction;

impl TrustedProxies {
    /// The proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is that of a proxy.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request that came from `peer`. What others than proxies say about that is not read.
    pub fn client(&self, peer: ClientAddress, headers: &HeaderMap) -> Result<ClientAddress, Contradiction> {
        if !self.contain(peer.ip()) {
            return Ok(peer);
        }
        let lines = |name: HeaderName| headers.get_all(name).into_iter().map(|value| value.as_bytes());
        let x_forwarded_for = forwarded::x_forwarded_for(lines(X_FORWARDED_FOR));
        let forwarded = forwarded::forwarded(lines(header::FORWARDED));
        match (self.last_stranger(&x_forwarded_for), self.last_stranger(&forwarded)) {
            (Some(one), Some(other)) if one != other => Err(Contradiction),
            (Some(client), _) | (None, Some(client)) => Ok(peer.at(client)),
            (None, None) => Ok(peer),
        }
    }

    /// The client that the proxies name: each proxy adds whoever it was asked by at the end, so that only the words behind the
    /// last address that is no proxy's are those of proxies.
    fn last_stranger(&self, hops: &[Option<IpAddr>]) -> Option<IpAddr> {
        let mut nearest = None;
        for hop in hops.iter().rev() {
            // A hop that names no address ends what is known: the last proxy before it stands for the client.
            let Some(address) = *hop else { break };
            nearest = Some(address);
            if !self.contain(address) {
                break;
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> Result<String, Contradiction> {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let peer = ClientAddress::of_peer(peer.parse().unwrap());
        let found = TrustedProxies::new(networks.into()).client(peer, &headers.collect());
        found.map(|client| client.to_string())
    }

    #[test]
    fn only_proxies_are_believed_and_only_as_far_as_they_know() {
        let (xff, forwarded) = ("x-forwarded-for", "forwarded");
        for (peer, headers, expected) in [
            ("192.0.2.9:5", &[(xff, "192.0.2.1"), (forwarded, "for=192.0.2.2")][..], "192.0.2.9:5"),
            ("10.0.0.1:5", &[], "10.0.0.1:5"),
            ("10.0.0.1:5", &[(xff, "192.0.2.1")], "192.0.2.1:5"),
            // The client has sent the first address itself.
            ("10.0.0.1:5", &[(xff, "198.51.100.7, 192.0.2.1")], "192.0.2.1:5"),
            ("10.0.0.1:5", &[(xff, "198.51.100.7"), (xff, "192.0.2.1 , 10.0.0.2")], "192.0.2.1:5"),
            ("10.0.0.1:5", &[(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3:5"),
            ("10.0.0.1:5", &[(xff, "192.0.2.1, nonsense")], "10.0.0.1:5"),
            ("10.0.0.1:5", &[(xff, "192.0.2.1, nonsense, 10.0.0.2")], "10.0.0.2:5"),
            ("[::ffff:10.0.0.1]:5", &[(xff, "::ffff:192.0.2.1")], "192.0.2.1:5"),
            ("10.0.0.1:5", &[(forwarded, "for=192.0.2.1;proto=https")], "192.0.2.1:5"),
            ("[2001:db8::1]:5", &[(forwarded, "for=\"[2001:dead::1]:80\"")], "[2001:dead::1]:5"),
            ("10.0.0.1:5", &[(forwarded, "for=unknown")], "10.0.0.1:5"),
            ("10.0.0.1:5", &[(xff, "192.0.2.1"), (forwarded, "for=192.0.2.1")], "192.0.2.1:5"),
        ] {
            assert_eq!(client(peer, headers).as_deref(), Ok(expected), "{peer} {headers:?}");
        }
        let spoofed = &[(forwarded, "for=198.51.100.7"), (xff, "192.0.2.1")];
        assert_eq!(client("10.0.0.1:5", spoofed), Err(Contradiction));
    }
}
