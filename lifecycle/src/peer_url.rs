use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use thiserror::Error;

use crate::text::as_text;

/// Where other members reach a member: `http://HOST:PORT`, `https://HOST:PORT`, or a socket of the same machine with `unix://`
/// or `unixs://`, as etcd's `--initial-advertise-peer-urls` takes them (`client/pkg/types/urls.go:NewURLs`).
///
/// The text stays as it was given, because etcd computes member IDs from it. Two URLs that differ only in the case of
/// letters are equal.
#[derive(Clone, Debug, Eq)]
pub struct PeerUrl(Arc<str>);

/// Where clients reach a member: `http://HOST:PORT` or `https://HOST:PORT`, as etcd's
/// `--advertise-client-urls` takes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientUrl(Arc<str>);

/// Why a text is not a [`PeerUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("peer URL {0:?} {1}")]
pub struct PeerUrlError(String, UrlProblem);

/// Why a text is not a [`ClientUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("client URL {0:?} {1}")]
pub struct ClientUrlError(String, UrlProblem);

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlProblem {
    /// It does not begin with `http://` or `https://`.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// Something follows the port, or user info precedes the host.
    #[error("must end after the port: no path, query, fragment or user info")]
    NotOnlyHostAndPort,
    /// The host is missing or invalid.
    #[error("has no valid host; use a DNS name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// It is too long.
    #[error("must have at most {} bytes", ClientUrl::MAX_BYTES)]
    TooLong,
    /// The port is missing or invalid.
    #[error("needs a port from 1 to 65535, such as :2380")]
    Port,
}

impl PeerUrl {
    /// Parses a peer URL.
    pub fn parse(text: &str) -> Result<Self, PeerUrlError> {
        let checked = strip_scheme(text, ["unix", "unixs"]).map_or_else(|| check(text), check_socket);
        checked.map(|()| Self(text.into())).map_err(|problem| PeerUrlError(text.to_owned(), problem))
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the host is `0.0.0.0` or `[::]`: an etcd listens there, but no other member reaches it there.
    pub fn is_unspecified(&self) -> bool {
        let host = split_at_host(&self.0).map(|(_, host, _)| host.trim_matches(['[', ']']));
        host.and_then(|host| host.parse().ok()).is_some_and(|address: IpAddr| address.to_canonical().is_unspecified())
    }

    /// Another text for the same address: an IPv4 address mapped to IPv6, such as `http://[::ffff:10.0.0.1]:2380`, or an IPv6
    /// address with all its groups. `None` for a DNS name.
    ///
    /// etcd compares peer URLs as texts (`membership/cluster.go:ValidateConfigurationChange`), and Go connects to a mapped
    /// address by IPv4.
    pub fn other_spelling(&self) -> Option<Self> {
        strip_scheme(&self.0, ["http", "https"])?;
        let (before_host, host, after_host) = split_at_host(&self.0)?;
        let other = match host.trim_matches(['[', ']']).parse().ok()? {
            IpAddr::V4(address) => format!("::ffff:{address}"),
            IpAddr::V6(address) => address.segments().map(|group| format!("{group:04x}")).join(":"),
        };
        let other = Self(format!("{before_host}[{other}]{after_host}").into());
        (other != *self).then_some(other)
    }
}

impl ClientUrl {
    /// The most bytes of a client URL.
    pub const MAX_BYTES: usize = 255;

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This URL with the host of another one. `None` if it is too long.
    pub fn on_host_of(&self, other: &Self) -> Option<Self> {
        let ((scheme, _, port), (_, host, _)) = (split_at_host(&self.0)?, split_at_host(&other.0)?);
        format!("{scheme}{host}{port}").parse().ok()
    }
}

/// The checks of etcd, for `http` and `https` only (`client/pkg/types/urls.go:NewURLs`).
fn check(text: &str) -> Result<(), UrlProblem> {
    let authority = strip_scheme(text, ["http", "https"]).ok_or(UrlProblem::Scheme)?;
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return Err(UrlProblem::NotOnlyHostAndPort);
    }
    // The colons of an IPv6 address are in brackets, so the last colon precedes the port.
    let (host, port) = authority.rsplit_once(':').ok_or(UrlProblem::Port)?;
    if host.contains(':') && !host.ends_with(']') {
        return Err(UrlProblem::Host);
    }
    if !is_host(host) {
        return Err(UrlProblem::Host);
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(UrlProblem::Port),
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets, possibly with a zone (`[fe80::1%25eth0]`). etcd's checks know only
/// Go's rules, so a name may end in a number (`etcd.1`), which browsers take for an IPv4 address.
fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if let Some((address, zone)) = host.strip_suffix(']').and_then(|host| host.split_once("%25")) {
        let address = address.strip_prefix('[').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.is_some() && !zone.is_empty() && zone.bytes().all(plain);
    }
    // `--initial-cluster` separates members by commas, and names from URLs by equals signs.
    let is_name = host.bytes().all(plain) && host.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name || (url::Host::parse(host).is_ok() && !host.contains(['%', ',', '=']))
}

/// A socket's address: etcd 3.4 takes the form `HOST:PORT` only, later ones any path.
fn check_socket(address: &str) -> Result<(), UrlProblem> {
    let is_part = |c: char| !c.is_whitespace() && !c.is_control() && !['?', '#', '@', '\\', '%', ',', '='].contains(&c);
    if address.is_empty() || !address.chars().all(is_part) { Err(UrlProblem::Host) } else { Ok(()) }
}

/// Splits `http://HOST:PORT` into `http://`, `HOST` and `:PORT`.
fn split_at_host(text: &str) -> Option<(&str, &str, &str)> {
    let (before, port) = text.split_at(text.rfind(':')?);
    let (scheme, host) = before.split_at(before.find("://")? + "://".len());
    Some((scheme, host, port))
}

fn strip_scheme<'a>(text: &'a str, schemes: [&str; 2]) -> Option<&'a str> {
    let (scheme, rest) = text.split_once("://")?;
    schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

impl PartialEq for PeerUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Hash for PeerUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl FromStr for PeerUrl {
    type Err = PeerUrlError;

    fn from_str(text: &str) -> Result<Self, PeerUrlError> {
        Self::parse(text)
    }
}

impl FromStr for ClientUrl {
    type Err = ClientUrlError;

    fn from_str(text: &str) -> Result<Self, ClientUrlError> {
        let problem = if text.len() > Self::MAX_BYTES { Err(UrlProblem::TooLong) } else { check(text) };
        problem.map(|()| Self(text.into())).map_err(|problem| ClientUrlError(text.to_owned(), problem))
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ClientUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(PeerUrl, "a peer URL");
as_text!(ClientUrl, "a client URL");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_etcd_accepts_are_accepted_unchanged() {
        for text in [
            "http://10.0.0.1:2380",
            "https://infra0.example.com:2380",
            "http://localhost:80",
            "https://[2001:db8::1]:2380",
            "HTTP://Infra0:2380",
            "http://etcd.1:2380",
            "http://etcd_0.etcd:2380",
            "http://[fe80::1%25eth0]:2380",
            "http://0.0.0.0:2380",
            "unix://etcd:2380",
            "unixs:///run/etcd/peer.sock",
        ] {
            assert_eq!(PeerUrl::parse(text).map(|url| url.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_problem() {
        use UrlProblem::*;
        for (text, kind) in [
            ("", Scheme),
            ("10.0.0.1:2380", Scheme),
            ("ftp://10.0.0.1:2380", Scheme),
            ("unix://", Host),
            ("unix:///run/a,b", Host),
            ("http://[fe80::1%25]:2380", Host),
            ("http://[fe80::1%eth0]:2380", Host),
            ("http://[infra0%25eth0]:2380", Host),
            ("http://1.2.3:2380:2380", Host),
            ("http://1.2.3.4.5:2380", Host),
            ("http://10.0.0.1:2380/", NotOnlyHostAndPort),
            ("http://10.0.0.1:2380/path", NotOnlyHostAndPort),
            ("http://10.0.0.1:2380?q", NotOnlyHostAndPort),
            ("http://me@10.0.0.1:2380", NotOnlyHostAndPort),
            ("http://:2380", Host),
            ("http://a b:2380", Host),
            ("http://2001:db8::1:2380", Host),
            ("http://[::1:2380", Host),
            ("http://a%20b:2380", Host),
            ("http://a,b:2380", Host),
            ("http://a=b:2380", Host),
            ("http://10.0.0.1", Port),
            ("http://10.0.0.1:", Port),
            ("http://10.0.0.1:0", Port),
            ("http://10.0.0.1:65536", Port),
            ("http://10.0.0.1:+80", Port),
            ("http://10.0.0.1:http", Port),
        ] {
            assert_eq!(PeerUrl::parse(text), Err(PeerUrlError(text.to_owned(), kind)));
        }
    }

    #[test]
    fn an_ip_address_has_another_spelling() {
        let spelling = |text: &str| PeerUrl::parse(text).unwrap().other_spelling().map(|url| url.to_string());
        assert_eq!(spelling("http://10.0.0.1:2380").unwrap(), "http://[::ffff:10.0.0.1]:2380");
        assert_eq!(
            spelling("https://[2001:db8::1]:80").unwrap(),
            "https://[2001:0db8:0000:0000:0000:0000:0000:0001]:80"
        );
        assert_eq!(spelling("https://[2001:0DB8:0000:0000:0000:0000:0000:0001]:80"), None);
        for text in [
            "https://infra0.example.com:2380",
            "http://etcd.1:2380",
            "http://[fe80::1%25eth0]:2380",
            "unix://10.0.0.1:1",
        ] {
            assert_eq!(spelling(text), None);
        }
        assert!(PeerUrl::parse(&spelling("http://10.0.0.1:2380").unwrap()).is_ok());
    }

    #[test]
    fn the_addresses_that_mean_every_address_are_known() {
        let is_unspecified = |text: &str| PeerUrl::parse(text).unwrap().is_unspecified();
        for text in
            ["http://0.0.0.0:2380", "https://[::]:2380", "http://[0:0:0:0:0:0:0:0]:1", "http://[::ffff:0.0.0.0]:1"]
        {
            assert!(is_unspecified(text), "{text}");
        }
        for text in ["http://10.0.0.0:2380", "http://[::1]:2380", "http://etcd.0:2380", "unix:///0.0.0.0"] {
            assert!(!is_unspecified(text), "{text}");
        }
    }

    #[test]
    fn a_url_gets_the_host_of_another() {
        let url = |text: &str| text.parse::<ClientUrl>().unwrap();
        let metrics = url("http://0.0.0.0:2381");
        assert_eq!(metrics.on_host_of(&url("https://[::1]:2379")), Some(url("http://[::1]:2381")));
        assert_eq!(metrics.on_host_of(&url("https://infra0:2379")), Some(url("http://infra0:2381")));
    }

    #[test]
    fn urls_that_differ_in_case_are_equal() {
        assert_eq!(PeerUrl::parse("http://Infra0:2380"), PeerUrl::parse("http://infra0:2380"));
        assert_ne!(PeerUrl::parse("http://infra0:2380"), PeerUrl::parse("https://infra0:2380"));
    }
}
