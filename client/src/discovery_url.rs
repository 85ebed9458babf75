use std::{fmt, str::FromStr};

use convene_lifecycle::Token;
use thiserror::Error;
use url::Url;

/// What a node is given: the URL of a `convene-server` and a cluster's token in one, as in
/// `http://discovery.corp:8087/TOKEN` or, as in a private registry of etcd's own,
/// `http://discovery.corp:8087/v2/keys/_etcd/registry/TOKEN`.
///
/// It is a secret: `Display` and `Debug` shorten the token and leave out a password and whatever else is in the path.
#[derive(Clone, PartialEq, Eq)]
pub struct DiscoveryUrl {
    /// The server, with whatever path a proxy has put before its own.
    pub server: ServerUrl,
    /// The cluster.
    pub token: Token,
}

/// The URL of a `convene-server`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a text is not a [`DiscoveryUrl`] or a [`ServerUrl`]. It does not repeat the text, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiscoveryUrlError {
    /// It is no URL at all.
    #[error("is not a URL ({0}); right would be http://HOST:PORT/TOKEN, as `convene cluster create` or /new gives it")]
    NotAUrl(url::ParseError),
    /// It is a URL of something else.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// It has a part that makes no sense here.
    #[error("must end after the path: no query and no fragment")]
    Query,
    /// Its path does not end with a token.
    #[error(
        "must end with a cluster's token, as in http://HOST:PORT/TOKEN: 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'"
    )]
    NoToken,
}

/// Where v2 discovery has the tokens of a private registry.
const REGISTRY: &str = "/v2/keys/_etcd/registry";

impl ServerUrl {
    /// Whether it is reached with TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of one of the server's paths, which begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }
}

impl DiscoveryUrl {
    /// A cluster of a server.
    pub fn new(server: ServerUrl, token: Token) -> Self {
        Self { server, token }
    }

    /// The whole URL, secret included: for those who are to have it.
    pub fn reveal(&self) -> String {
        self.server.join(&format!("/{}", self.token.as_str()))
    }
}

fn parse(text: &str) -> Result<Url, DiscoveryUrlError> {
    let url = Url::parse(text.trim()).map_err(DiscoveryUrlError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(DiscoveryUrlError::Scheme);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(DiscoveryUrlError::Query);
    }
    Ok(url)
}

impl FromStr for ServerUrl {
    type Err = DiscoveryUrlError;

    fn from_str(text: &str) -> Result<Self, DiscoveryUrlError> {
        parse(text).map(Self)
    }
}

impl FromStr for DiscoveryUrl {
    type Err = DiscoveryUrlError;

    fn from_str(text: &str) -> Result<Self, DiscoveryUrlError> {
        let mut url = parse(text)?;
        let path = url.path().trim_end_matches('/').to_owned();
        let (before, token) = path.rsplit_once('/').ok_or(DiscoveryUrlError::NoToken)?;
        let token = token.parse().map_err(|_| DiscoveryUrlError::NoToken)?;
        url.set_path(before.strip_suffix(REGISTRY).unwrap_or(before));
        Ok(Self { server: ServerUrl(url), token })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No user info, and no path: whoever gives a discovery URL for a server's has the token in it.
        f.write_str(&self.0.origin().ascii_serialization())
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
    fn what_names_no_cluster_is_refused_without_repeating_it() {
        use DiscoveryUrlError::*;
        let error = |text: &str| text.parse::<DiscoveryUrl>().unwrap_err();
        assert!(matches!(error("6c007a14875d53d9"), NotAUrl(_)));
        assert_eq!(error("ftp://corp/6c007a14875d53d9"), Scheme);
        assert_eq!(error("http://corp/6c007a14875d53d9?size=3"), Query);
        assert_eq!(error("http://corp:8087"), NoToken);
        assert_eq!(error("http://corp:8087/"), NoToken);
        assert_eq!(error("http://corp:8087/a%20b"), NoToken);
        assert!(!error("http://corp:8087/sec%20ret").to_string().contains("sec"));
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
