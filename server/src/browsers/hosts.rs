use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use axum::http::uri::Authority;
use thiserror::Error;

/// A host by which the server may be asked: a DNS name in lower case, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text is not a [`Host`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a DNS name or an IP address without scheme and port, such as discovery.example.com or 10.0.0.1")]
pub struct HostError;

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Host {
    /// Whether it stands for all addresses of a machine, which no client can use.
    pub fn is_unspecified(&self) -> bool {
        matches!(self, Self::Address(address) if address.is_unspecified())
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() <= 253 && name.split('.').all(is_label) { Ok(Self::Name(name)) } else { Err(HostError) }
    }
}

/// The hosts by which the server may be asked.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: Vec<Host>,
    /// Whether any IP address will do. Rebinding needs a name.
    any_address: bool,
}

impl Hosts {
    /// The listening address, and these. A server on all addresses is reached by each of them.
    pub fn new(listen: &str, listening: SocketAddr, more: impl IntoIterator<Item = Host>) -> Self {
        let named = listen.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
        let address = listening.ip().to_canonical();
        let mut hosts: Vec<Host> = more.into_iter().chain(named).chain([Host::Address(address)]).collect();
        if address.is_loopback() || address.is_unspecified() {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(Host::Address);
            hosts.extend(loopback);
            hosts.push(Host::Name("localhost".to_owned()));
        }
        Self { hosts, any_address: address.is_unspecified() }
    }

    /// Whether the server may be asked by this host, whatever the port.
    pub fn contains(&self, host: &Authority) -> bool {
        let Ok(host) = host.host().parse::<Host>() else { return false };
        (self.any_address && matches!(host, Host::Address(_))) || self.hosts.contains(&host)
    }
}
