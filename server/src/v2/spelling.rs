use std::collections::BTreeSet;

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use convene_lifecycle::{DiscoveryUrl, MemberKey, Registration};

use crate::app::App;

/// The discovery URLs that are likely if a node registers with this request: first the one that the node was given, and then
/// those that another node may have been given. None if no likely URL explains the node's key.
///
/// They are tried here, so that the committer, which all requests share, computes few keys.
pub fn likely_urls(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    key: &MemberKey,
    registration: &Registration,
) -> Vec<DiscoveryUrl> {
    let mut urls = all_likely_urls(app, uri, headers);
    match urls.iter().position(|url| url.was_given(key, registration)) {
        Some(own) => urls.swap(0, own),
        None => urls.clear(),
    }
    urls
}

/// The host that was asked, or a proxy in front of this server, with and without a port, by both schemes, and with more slashes
/// than the path needs: etcd cleans the path before it sends it (`v2discovery/discovery.go:selfKey`).
///
/// False headers only make this server try wrong URLs: the key proves which one is right.
fn all_likely_urls(app: &App, uri: &Uri, headers: &HeaderMap) -> Vec<DiscoveryUrl> {
    let public: Option<Uri> = app.public_url.parse().ok();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Proxies append to these headers, and the node's own comes first.
    let forwarded = |name: &str| header(name).and_then(|list| list.split(',').next()).map(str::trim);

    let asked = uri.authority().map(Authority::as_str).or_else(|| header(header::HOST.as_str()));
    let hosts = [asked, forwarded("x-forwarded-host"), public.as_ref().and_then(Uri::authority).map(Authority::as_str)];
    let ports = [forwarded("x-forwarded-port"), Some("80"), Some("443")];
    let hosts: BTreeSet<String> = hosts.into_iter().flatten().flat_map(|host| with_ports(host, ports)).collect();

    let own = uri.path().trim_end_matches('/').rsplit_once('/').map_or("", |(cluster, _)| cluster);
    let prefixes = [Some(""), forwarded("x-forwarded-prefix"), public.as_ref().map(Uri::path)];
    let prefixes = prefixes.into_iter().flatten().map(|prefix| prefix.trim_end_matches('/'));
    let of_prefix = |prefix: &str| {
        [format!("{prefix}{own}"), format!("{prefix}{own}/"), format!("{prefix}/{own}"), format!("{prefix}/{own}/")]
    };
    let paths: &BTreeSet<String> = &prefixes.flat_map(of_prefix).collect();

    let of_host = |host: &String| {
        let host = host.clone();
        let of_path = move |path: &String| ["http", "https"].map(|scheme| format!("{scheme}://{host}{path}"));
        paths.iter().flat_map(of_path).collect::<Vec<_>>()
    };
    hosts.iter().flat_map(of_host).filter_map(|url| url.parse().ok()).collect()
}

/// A host as it was named, without its port, and with each of these.
fn with_ports<'a>(host: &'a str, ports: [Option<&'a str>; 3]) -> impl Iterator<Item = String> + 'a {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bare = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(bare, _)| bare);
    let ported =
        ports.into_iter().flatten().filter(move |port| is_port(port)).map(move |port| format!("{bare}:{port}"));
    [host.to_owned(), bare.to_owned()].into_iter().chain(ported)
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
        let urls = all_likely_urls(&app, &path.parse().unwrap(), &headers.collect());
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
