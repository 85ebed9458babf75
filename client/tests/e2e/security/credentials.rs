//! A false etcd, which the registry names, gets no password and no token of a login.

use std::{net::TcpListener, sync::Arc};

use convene_harness::{
    Place,
    convene::{Convene, Ended},
    etcd::{Etcd, Version},
    tls::Ca,
    wait_for,
};
use serde_json::json;

use super::raw_server::RawServer;
use crate::{
    evidence::lying_registry::LyingRegistry,
    node::{LIMIT, Registry, form, with_each},
};

const PASSWORD: &str = "a-secret-password";

/// An etcd that requires a login.
fn with_auth(version: &Version) -> Etcd {
    let place = Arc::new(Place::new());
    let etcd = version.form(&[("infra0", place.clone())]).remove(0);
    etcd.wait_until_healthy(LIMIT);
    version.turn_auth_on(&place.access(), &place.client_url, PASSWORD);
    etcd
}

/// What a node with the password does that the registry sends to these client URLs. `variables` are its own.
fn observe(client_urls: &[&str], variables: &[(&str, &str)]) -> Ended {
    let wait = json!({ "instruction": "wait", "reason": "held" });
    let registry = LyingRegistry::start_with_urls(client_urls, &["http://127.0.0.1:1"], wait);
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["join", "--dry-run", "--name=infra9", "--initial-advertise-peer-urls=http://127.0.0.1:9"];
    let call = Convene::new(arguments).secure().env("CONVENE_DISCOVERY", &registry.registry.url);
    let call = call.env("CONVENE_DATA_DIR", folder.path().join("data")).env("CONVENE_USER", format!("root:{PASSWORD}"));
    let ended = variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run(LIMIT);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// It is reached under addresses of this machine here, which the node's configuration does not have.
#[test]
fn an_etcd_in_clear_text_that_the_registry_names_gets_no_password() {
    let versions = ["3.5", "3.7"].into_iter().filter_map(Version::find).collect();
    with_each(versions, |version| {
        let etcd = with_auth(version);
        let client_url = etcd.place.client_url.as_str();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let tap = RawServer::before(client_url);
            let url = format!("http://{}", tap.address.replace("127.0.0.1", host));
            let ended = observe(&[&url], &[]);
            assert!(tap.received_bytes() > 0, "it is asked: {}", ended.stdout);
            assert!(!tap.has_received(PASSWORD), "{url}: {}", ended.stdout);
            assert!(ended.stdout.contains("is not sent the password"), "{}", ended.stdout);
        }
        // A member to which the node has logged in, too, and the token of its session.
        let tap = RawServer::before(client_url);
        let url = format!("http://{}", tap.address);
        let ended = observe(&[client_url, &url], &[("CONVENE_ADVERTISE_CLIENT_URLS", client_url)]);
        assert!(tap.received_bytes() > 0 && !tap.has_received(PASSWORD), "{}", ended.stdout);

        // With a CA, it is not even asked.
        let tap = RawServer::before(client_url);
        let url = format!("http://{}", tap.address);
        let ca = Ca::new();
        let ended = observe(&[&url], &[("CONVENE_CACERT", ca.file().to_str().unwrap())]);
        assert_eq!(tap.connections(), 0, "{}", ended.stdout);
        assert!(ended.stdout.contains("is not called, because a CA is given"), "{}", ended.stdout);

        // The test would see a password: this node's own etcd gets it, and everybody if that is wanted.
        for variables in [("CONVENE_ADVERTISE_CLIENT_URLS", &*url), ("CONVENE_INSECURE_ETCD_CREDENTIALS", "true")] {
            observe(&[&url], &[variables]);
            assert!(tap.has_received(PASSWORD), "{variables:?}");
        }
    });
}

#[test]
fn an_etcd_with_the_certificate_of_a_foreign_ca_gets_nothing() {
    let (own, foreign) = (Ca::new(), Ca::new());
    let server = RawServer::with_tls(&foreign.node());
    let url = format!("https://{}", server.address);
    for ca in [Some(own.file()), None] {
        let variables: Vec<_> = ca.iter().map(|ca| ("CONVENE_CACERT", ca.to_str().unwrap())).collect();
        let ended = observe(&[&url], &variables);
        assert!(server.connections() > 0 && ended.stdout.contains("certificate"), "{}", ended.stdout);
    }
    // The certificate of a CA that is trusted, but for another host: there is none for this IPv6 address.
    let other_host = RawServer::with_tls(&own.node());
    let url = format!("https://[::ffff:127.0.0.1]:{}", other_host.address.rsplit_once(':').unwrap().1);
    let ended = observe(&[&url], &[("CONVENE_CACERT", own.file().to_str().unwrap())]);
    assert!(
        other_host.connections() > 0 && ended.stdout.contains("certificate is for another host"),
        "{}",
        ended.stdout
    );
    assert_eq!(server.received_bytes() + other_host.received_bytes(), 0);
}

/// With a CA for peers, nothing is called in clear text, so nobody shows that the process is not this node's member.
#[test]
fn a_process_at_an_address_that_is_not_called_may_be_the_member() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    nodes[0].kill();
    let address = nodes[0].place.peer_url.trim_start_matches("http://");
    // The port of the etcd may linger.
    let _process = wait_for(LIMIT, || TcpListener::bind(address).ok()).unwrap();
    let (ca, mut found) = (Ca::new(), String::new());
    let mut joining = nodes[0].spawn_join(&[&format!("--peer-trusted-ca-file={}", ca.file().display())]);
    let refused = wait_for(LIMIT, || {
        found = joining.stderr();
        found.contains("(node_refused)").then_some(())
    });
    joining.kill();
    assert!(refused.is_some() && found.contains("a process accepts connections, and http://127.0.0.1:"), "{found}");
    assert_eq!(joining.stdout(), "");
}

#[test]
fn no_redirect_is_followed() {
    let target = RawServer::with_json("{}");
    let to = target.address.clone();
    let redirect = move |path: &str| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}{path}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    };
    let redirecting = RawServer::answering(redirect);
    let url = format!("http://{}", redirecting.address);
    let ended = observe(&[&url], &[("CONVENE_ADVERTISE_CLIENT_URLS", &*url)]);
    assert!(redirecting.connections() > 0, "{}", ended.stdout);
    // Neither is one of the registry.
    let discovery = format!("{url}/6c007a14875d53d9bf0ef5a6fc0257c8");
    let ended = Convene::new(["join", "--dry-run", "--name=infra9"]).env("CONVENE_DISCOVERY", discovery).run(LIMIT);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stderr.contains("redirects (307 Temporary Redirect)"), "{}", ended.stderr);
    assert_eq!(target.connections(), 0);
}
