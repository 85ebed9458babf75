use std::collections::BTreeSet;

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use convene_lifecycle::{DiscoveryUrl, FounderKey, MemberKey, Registration};

use crate::app::App;

/// What a request shows of the discovery URL of the node that sends it, and of other nodes' URLs.
///
/// False headers only make this server try wrong URLs: a member's key proves which one is right.
#[derive(Clone, Debug)]
pub struct LikelyUrls {
    scheme: &'static str,
    public_url: String,
    /// The host that was asked, with its port.
    asked: Option<String>,
    forwarded_host: Option<String>,
    forwarded_port: Option<String>,
    forwarded_prefix: Option<String>,
    /// The path of the cluster.
    folder: String,
}

impl LikelyUrls {
    /// Reads the headers of a request for a member's key.
    pub fn of(app: &App, uri: &Uri, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // Proxies append to these headers, and the node's own comes first.
        let forwarded = |name: &str| Some(header(name)?.split(',').next()?.trim().to_owned());
        let folder = uri.path().trim_end_matches('/').rsplit_once('/').map_or("", |(cluster, _)| cluster);
        let asked = uri.authority().map(Authority::as_str).or_else(|| header(header::HOST.as_str()));
        Self {
            scheme: app.scheme,
            public_url: app.public_url.clone(),
            asked: asked.map(str::to_owned),
            forwarded_host: forwarded("x-forwarded-host"),
            forwarded_port: forwarded("x-forwarded-port"),
            forwarded_prefix: forwarded("x-forwarded-prefix"),
            folder: folder.to_owned(),
        }
    }

    /// The URL that a node was given. `None` if no likely URL explains the node's key.
    ///
    /// It is looked for here, so that the committer, which all requests share, computes few keys.
    pub fn given(&self, key: &MemberKey, registration: &Registration) -> Option<DiscoveryUrl> {
        let founder = FounderKey::of(key, registration)?;
        // Most nodes were given the URL that is asked.
        let plain = self.asked.as_deref().map(|asked| [self.scheme, "://", asked, &self.folder]);
        let plain = plain.filter(|pieces| founder.has(pieces)).map(|pieces| pieces.concat());
        plain.or_else(|| self.find(|pieces| founder.has(pieces)))?.parse().ok()
    }

    /// All likely URLs.
    pub fn all(&self) -> Vec<DiscoveryUrl> {
        let mut all = BTreeSet::new();
        self.find(|pieces| {
            all.insert(pieces.concat());
            false
        });
        all.into_iter().filter_map(|url| url.parse().ok()).collect()
    }

    /// Finds a likely URL, of which `is_it` gets the pieces.
    ///
    /// Likely are the host that was asked, or a proxy in front of this server, with and without a port, by both schemes, and with more
    /// slashes than the path needs: etcd cleans the path before it sends it (`v2discovery/discovery.go:selfKey`).
    fn find(&self, mut is_it: impl FnMut(&[&str]) -> bool) -> Option<String> {
        let public: Option<Uri> = self.public_url.parse().ok();
        let public_host = public.as_ref().and_then(Uri::authority).map(Authority::as_str);
        let hosts = distinct([self.asked.as_deref(), self.forwarded_host.as_deref(), public_host]);
        let ports = distinct([self.forwarded_port.as_deref(), Some("80"), Some("443")]);
        let hosts: Vec<[&str; 3]> = hosts.into_iter().flat_map(|host| with_ports(host, &ports)).collect();
        let prefixes = [Some(""), self.forwarded_prefix.as_deref(), public.as_ref().map(Uri::path)];
        let prefixes = distinct(prefixes.map(|prefix| prefix.map(|prefix| prefix.trim_end_matches('/'))));
        let slashes = [("", ""), ("", "/"), ("/", ""), ("/", "/")];
        let of_prefix = |prefix| slashes.map(|(before, after)| [prefix, before, &self.folder, after]);
        let paths: Vec<[&str; 4]> = prefixes.into_iter().flat_map(of_prefix).collect();
        for scheme in ["http", "https"] {
            for [host, colon, port] in &hosts {
                for [prefix, before, folder, after] in &paths {
                    let pieces = [scheme, "://", host, colon, port, prefix, before, folder, after];
                    if is_it(&pieces) {
                        return Some(pieces.concat());
                    }
                }
            }
        }
        None
    }
}

/// What is there, once.
fn distinct(texts: [Option<&str>; 3]) -> Vec<&str> {
    let mut distinct = Vec::with_capacity(texts.len());
    for text in texts.into_iter().flatten() {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

/// A host as it was named, without its port, and with each of these: the host, a colon and the port.
fn with_ports<'a>(host: &'a str, ports: &[&'a str]) -> Vec<[&'a str; 3]> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let named = host.rsplit_once(':').filter(|(_, port)| is_port(port));
    let bare = named.map_or(host, |(bare, _)| bare);
    let named = named.map(|(bare, port)| [bare, ":", port]);
    let others = ports.iter().filter(|port| is_port(port) && named.is_none_or(|[.., own]| own != **port));
    named.into_iter().chain([[bare, "", ""]]).chain(others.map(|port| [bare, ":", port])).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::app::testing;

    async fn likely(public_url: &str, path: &str, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let (_dir, app, _) = testing::app().await;
        let app = App { public_url: public_url.to_owned(), ..std::sync::Arc::into_inner(app).unwrap() };
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let urls = LikelyUrls::of(&app, &path.parse().unwrap(), &headers.collect()).all();
        urls.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn the_usual_spellings_of_a_url_are_likely() {
        let headers = [
            ("host", "10.0.0.1:8087"),
            ("x-forwarded-host", "disc.corp, inner"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/etcd"),
        ];
        let urls = likely("https://disc.example.com/convene", "/one/5e3c", &headers).await;
        for url in [
            "http://10.0.0.1:8087/one",
            "http://10.0.0.1:8087/one/",
            "http://10.0.0.1:8087//one",
            "https://10.0.0.1:8087/one",
            "http://10.0.0.1/one",
            "http://10.0.0.1:80/one",
            "https://disc.corp/one",
            "https://disc.corp:443/one/",
            "https://disc.corp:8443/etcd/one",
            "https://disc.example.com/convene/one",
            "https://disc.example.com:443/convene/one/",
        ] {
            assert!(urls.iter().any(|likely| likely == url), "{url} of {urls:?}");
        }
        let mut distinct = urls.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), urls.len());
    }

    #[tokio::test]
    async fn the_folder_that_is_asked_is_part_of_the_url() {
        let urls = likely("http://127.0.0.1:1", "/v2/keys/discovery/one/5e3c", &[("host", "[::1]:80")]).await;
        for url in ["http://[::1]/v2/keys/discovery/one", "http://[::1]:80/v2/keys/discovery/one/"] {
            assert!(urls.iter().any(|likely| likely == url), "{url} of {urls:?}");
        }
        assert!(!urls.iter().any(|likely| likely.ends_with("/5e3c")));
    }

    #[tokio::test]
    async fn headers_that_are_no_host_or_port_do_no_harm() {
        let headers =
            [("host", ""), ("x-forwarded-host", ", ,"), ("x-forwarded-port", "x y"), ("x-forwarded-prefix", "a b")];
        let urls = likely("", "/one/5e3c", &headers).await;
        assert!(urls.iter().all(|url| !url.contains(' ')), "{urls:?}");
    }
}
