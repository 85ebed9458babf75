use axum::extract::Request;

use super::*;

fn browsers() -> Browsers {
    Browsers {
        hosts: Hosts::new("127.0.0.1:8087", "127.0.0.1:8087".parse().unwrap(), ["discovery.corp".parse().unwrap()]),
        public_origin: Some("https://discovery.corp".parse().unwrap()),
        v2_cors: vec!["https://tools.corp".parse().unwrap()],
    }
}

/// How a request is judged: `METHOD PATH`, then headers.
fn judged(line: &str, headers: &[(&str, &str)]) -> Result<(), Kind> {
    let (method, path) = line.split_once(' ').unwrap();
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
    let (request, ()) = request.body(()).unwrap().into_parts();
    let face = Face::of(&request.uri, &request.headers);
    browsers().check(face, &request).map_err(|refused| refused.kind())
}

const JSON: (&str, &str) = ("content-type", "application/json");
const AGENT: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");

#[test]
fn pages_and_the_api_are_reached_by_known_hosts_only() {
    for path in ["/", "/docs/", "/metrics", "/openapi.yaml", "/v1/clusters"] {
        let get = |host| judged(&format!("GET {path}"), &[("host", host)]);
        for host in ["127.0.0.1:8087", "localhost:9000", "[::1]:8087", "discovery.corp", "Discovery.Corp.", "127.0.0.1"]
        {
            assert_eq!(get(host), Ok(()), "{path} by {host}");
        }
        for host in
            ["rebound.example", "rebound.example:8087", "10.0.0.1:8087", "discovery.corp.example", "localhost.example"]
        {
            assert_eq!(get(host), Err(Kind::Misdirected), "{path} by {host}");
        }
        assert_eq!(judged(&format!("GET {path}"), &[]), Err(Kind::InvalidRequest));
    }
}

#[test]
fn stock_clients_use_any_name_and_browsers_known_ones() {
    for line in
        ["GET /prod", "PUT /v2/keys/_etcd/registry/prod/_config/size", "GET /new", "POST /v3/kv/put", "GET /version"]
    {
        assert_eq!(judged(line, &[("host", "anything.example"), ("user-agent", "Go-http-client/1.1")]), Ok(()));
        for header in
            [AGENT, ("accept-language", "en"), ("referer", "http://rebound.example/"), ("sec-fetch-site", "none")]
        {
            assert_eq!(
                judged(line, &[("host", "rebound.example"), header]),
                Err(Kind::Misdirected),
                "{line} {header:?}"
            );
        }
    }
    assert_eq!(judged("GET /livez", &[("host", "10.1.2.3"), AGENT]), Ok(()));
}

#[test]
fn two_hosts_are_refused_everywhere() {
    for line in ["GET /prod", "GET /v1/clusters", "GET /livez"] {
        assert_eq!(judged(line, &[("host", "127.0.0.1"), ("host", "127.0.0.1")]), Err(Kind::InvalidRequest));
    }
    assert_eq!(judged("GET http://127.0.0.1/prod", &[("host", "localhost")]), Err(Kind::InvalidRequest));
    assert_eq!(judged("GET http://localhost/prod", &[("host", "LOCALHOST")]), Ok(()));
    assert_eq!(judged("GET /prod", &[("host", "user@127.0.0.1")]), Err(Kind::InvalidRequest));
}

#[test]
fn pages_of_other_origins_are_refused() {
    let host = ("host", "localhost:8087");
    for line in [
        "GET /v1/clusters",
        "POST /v1/clusters",
        "GET /new",
        "POST /v3/kv/put",
        "GET /prod",
        "GET /docs/",
        "PUT /prod/1",
    ] {
        for origin in ["http://evil.example", "null", "http://localhost:3000", "http://localhost:8087.evil.example"] {
            assert_eq!(judged(line, &[host, JSON, ("origin", origin)]), Err(Kind::OtherSite), "{line} {origin}");
        }
        for site in ["cross-site", "same-site", "new"] {
            assert_eq!(judged(line, &[host, JSON, ("sec-fetch-site", site)]), Err(Kind::OtherSite), "{line} {site}");
        }
        for own in [
            ("origin", "http://localhost:8087"),
            ("origin", "https://discovery.corp"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(judged(line, &[host, JSON, own]), Ok(()), "{line} {own:?}");
        }
    }
}

#[test]
fn somebody_may_follow_a_link_to_a_page_and_to_a_cluster_but_not_to_new() {
    let link = |line| {
        let headers =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        judged(line, &[&[("host", "localhost"), AGENT][..], &headers].concat())
    };
    assert_eq!((link("GET /docs/"), link("GET /prod"), link("GET /")), (Ok(()), Ok(()), Ok(())));
    for line in ["GET /new", "GET /v1/clusters", "POST /prod", "GET /v3/kv/range"] {
        assert_eq!(link(line), Err(Kind::OtherSite), "{line}");
    }
}

#[test]
fn a_browser_creates_a_cluster_only_if_it_shows_that_nobody_else_wanted_it() {
    let new = |headers: &[(&'static str, &'static str)]| {
        judged("GET /new", &[&[("host", "localhost"), AGENT], headers].concat())
    };
    assert_eq!(new(&[]), Err(Kind::OtherSite));
    assert_eq!(new(&[("sec-fetch-site", "none")]), Ok(()));
    assert_eq!(new(&[("origin", "http://localhost")]), Ok(()));
}

#[test]
fn only_pages_of_listed_origins_use_v2() {
    let tools = ("origin", "https://tools.corp");
    assert_eq!(judged("PUT /prod/1", &[("host", "localhost"), tools, ("sec-fetch-site", "cross-site")]), Ok(()));
    assert_eq!(judged("PUT /prod/1", &[("host", "rebound.example"), tools]), Err(Kind::Misdirected));
    for line in ["GET /new", "POST /v1/clusters", "POST /v3/kv/put", "GET /metrics"] {
        assert_eq!(judged(line, &[("host", "localhost"), JSON, tools]), Err(Kind::OtherSite), "{line}");
    }
}

#[test]
fn a_server_on_all_addresses_is_asked_by_any_address_but_by_no_other_name() {
    let hosts = Hosts::new("0.0.0.0:8087", "0.0.0.0:8087".parse().unwrap(), []);
    let contains = |host: &str| hosts.contains(&host.parse().unwrap());
    assert!(contains("10.0.0.1:8087") && contains("[fd00::1]") && contains("localhost"));
    assert!(!contains("rebound.example"));
}

#[test]
fn hosts_and_origins_are_read_strictly() {
    for text in ["", "http://a", "a:80", "a/b", "a b", "a..b", "*"] {
        assert!(text.parse::<Host>().is_err(), "{text}");
    }
    for text in ["", "null", "a.example", "https://a/b", "https://a?x", "ftp://a", "https://u@a", "*"] {
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
    assert_eq!("HTTPS://A.example:443/".parse::<Origin>().unwrap().to_string(), "https://a.example");
}
