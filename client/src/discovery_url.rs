use std::{fmt, str::FromStr};

use convene_lifecycle::Token;
use thiserror::Error;
use url::{Host, Url};

use crate::registry::CaPin;

/// The URL of a `convene-server` with the token of a cluster: `https://discovery.corp:8087/TOKEN` or, as for a private
/// registry on etcd, `https://discovery.corp:8087/v2/keys/_etcd/registry/TOKEN`. It may end with the pin of the server's CA.
///
/// The URL is a secret: `Display` and `Debug` shorten the token, and omit a password and the rest of the path.
#[derive(Clone, PartialEq, Eq)]
pub struct DiscoveryUrl {
    /// The server, with the path prefix of a proxy if there is one.
    pub server: ServerUrl,
    /// The cluster.
    pub token: Token,
}

/// The URL of a `convene-server`. It may end with the pin of the server's CA: `https://HOST:PORT#sha256:…`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Without the pin.
    url: Url,
    /// The CA that must have signed the server's certificate. Only a URL with `https` has one.
    pin: Option<Box<CaPin>>,
}

/// Why a text is not a [`DiscoveryUrl`] or a [`ServerUrl`]. The error does not repeat the text, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiscoveryUrlError {
    /// It is not a URL.
    #[error("is not a URL ({problem}); expected {expected}")]
    NotAUrl {
        /// Why it is not a URL.
        problem: url::ParseError,
        /// The form of the URL.
        expected: &'static str,
    },
    /// The scheme is neither `http` nor `https`.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// It has a query or a fragment that is not a pin.
    #[error(
        "must not have a query, nor a fragment other than the pin of the server's CA, #sha256: and 64 hexadecimal digits"
    )]
    Query,
    /// It has a pin, and the scheme `http`.
    #[error("has the pin of a CA (#sha256:…), so it must begin with https://")]
    PinWithoutTls,
    /// Its path does not end with a token.
    #[error(
        "must end with the token of a cluster, as in http://HOST:PORT/TOKEN (1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-')"
    )]
    NoToken,
}

/// The path of the tokens in a private registry of v2 discovery.
const REGISTRY_PATH: &str = "/v2/keys/_etcd/registry";

impl ServerUrl {
    /// Whether connections use TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// The pin of the server's CA.
    pub fn pin(&self) -> Option<CaPin> {
        self.pin.as_deref().copied()
    }

    /// The URL of a path on the server. The path begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

impl DiscoveryUrl {
    /// The discovery URL of a cluster on a server.
    pub fn new(server: ServerUrl, token: Token) -> Self {
        Self { server, token }
    }

    /// The complete URL, including the secret token and the pin.
    pub fn reveal(&self) -> String {
        let pin = self.server.pin().map(|pin| format!("#{pin}")).unwrap_or_default();
        self.server.join(&format!("/{}{pin}", self.token.as_str()))
    }
}

fn parse(text: &str, expected: &'static str) -> Result<ServerUrl, DiscoveryUrlError> {
    let mut url = Url::parse(text.trim()).map_err(|problem| DiscoveryUrlError::NotAUrl { problem, expected })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(DiscoveryUrlError::Scheme);
    }
    if url.query().is_some() {
        return Err(DiscoveryUrlError::Query);
    }
    let pin = url.fragment().map(CaPin::from_str).transpose().map_err(|_| DiscoveryUrlError::Query)?;
    if pin.is_some() && url.scheme() != "https" {
        return Err(DiscoveryUrlError::PinWithoutTls);
    }
    url.set_fragment(None);
    Ok(ServerUrl { url, pin: pin.map(Box::new) })
}

impl FromStr for ServerUrl {
    type Err = DiscoveryUrlError;

    fn from_str(text: &str) -> Result<Self, DiscoveryUrlError> {
        parse(text, "https://HOST:PORT")
    }
}

impl FromStr for DiscoveryUrl {
    type Err = DiscoveryUrlError;

    fn from_str(text: &str) -> Result<Self, DiscoveryUrlError> {
        let mut server = parse(text, "https://HOST:PORT/TOKEN, as `convene cluster create` prints it")?;
        let path = server.url.path().trim_end_matches('/').to_owned();
        let (before, token) = path.rsplit_once('/').ok_or(DiscoveryUrlError::NoToken)?;
        let token = token.parse().map_err(|_| DiscoveryUrlError::NoToken)?;
        server.url.set_path(before.strip_suffix(REGISTRY_PATH).unwrap_or(before));
        Ok(Self { server, token })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without user info and path: if a discovery URL was given by mistake, its path has the token.
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

impl fmt::Display for DiscoveryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.token)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for DiscoveryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_discovery_url_name_the_same_cluster() {
        for (text, server) in [
            ("http://discovery.corp:8087/6c007a14875d53d9", "http://discovery.corp:8087"),
            ("http://discovery.corp:8087/6c007a14875d53d9/", "http://discovery.corp:8087"),
            ("http://discovery.corp:8087/v2/keys/_etcd/registry/6c007a14875d53d9", "http://discovery.corp:8087"),
            ("https://corp/discovery/6c007a14875d53d9", "https://corp/discovery"),
            ("https://corp/discovery/v2/keys/_etcd/registry/6c007a14875d53d9", "https://corp/discovery"),
            ("http://[::1]:8087/6c007a14875d53d9", "http://[::1]:8087"),
        ] {
            let url: DiscoveryUrl = text.parse().unwrap();
            assert_eq!(url.server.join(""), server);
            assert_eq!(url.token.as_str(), "6c007a14875d53d9");
            assert_eq!(url.reveal(), format!("{server}/6c007a14875d53d9"));
        }
    }

    #[test]
    fn an_invalid_discovery_url_is_rejected_without_repeating_it() {
        use DiscoveryUrlError::*;
        let error = |text: &str| text.parse::<DiscoveryUrl>().unwrap_err();
        assert!(matches!(error("6c007a14875d53d9"), NotAUrl { .. }));
        assert_eq!(error("ftp://corp/6c007a14875d53d9"), Scheme);
        assert_eq!(error("http://corp/6c007a14875d53d9?size=3"), Query);
        assert_eq!(error("https://corp/6c007a14875d53d9#sha256:00"), Query);
        assert_eq!(error(&format!("http://corp/6c007a14875d53d9#sha256:{}", "0".repeat(64))), PinWithoutTls);
        assert_eq!(error("http://corp:8087"), NoToken);
        assert_eq!(error("http://corp:8087/"), NoToken);
        assert_eq!(error("http://corp:8087/a%20b"), NoToken);
        assert!(!error("http://corp:8087/sec%20ret").to_string().contains("sec"));
    }

    #[test]
    fn a_pin_stays_with_the_url_and_is_not_sent() {
        let text = format!("https://corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8#sha256:{}", "0e".repeat(32));
        let url: DiscoveryUrl = text.parse().unwrap();
        assert_eq!(url.reveal(), text);
        assert_eq!(url.server.pin().unwrap().to_string(), format!("sha256:{}", "0e".repeat(32)));
        assert_eq!(url.server.join("/v1/clusters"), "https://corp:8087/v1/clusters");
        assert_eq!(url.to_string(), "https://corp:8087/6c007a…");
    }

    #[test]
    fn only_loopback_addresses_are_this_machine() {
        let is_loopback = |host: &str| format!("http://{host}:8087").parse::<ServerUrl>().unwrap().is_loopback();
        for host in ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "0.0.0.0", "[::]", "[2001:db8::1]", "corp", "localhost.corp", "127.0.0.1.corp"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn neither_token_nor_password_is_shown() {
        let url: DiscoveryUrl = "https://me:word@corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        assert_eq!(url.to_string(), "https://corp:8087/6c007a…");
        assert_eq!(format!("{url:?}"), "https://corp:8087/6c007a…");
        let server: ServerUrl = "http://corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        assert_eq!(server.to_string(), "http://corp:8087");
        assert_eq!(url.server.join("/v1/clusters"), "https://me:word@corp:8087/v1/clusters");
    }
}
