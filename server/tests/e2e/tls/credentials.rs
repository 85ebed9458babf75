//! Credentials of stock etcds and of administrators over TLS: the right one, none, and what is wrong, expired, revoked or of another
//! cluster. What is refused is refused in words.

use std::{sync::Arc, time::Duration};

use convene_harness::{
    Place,
    etcd::{Etcd, Version},
    http,
    server::Server,
    tls::{Ca, Identity},
    wait_for,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

/// A server with TLS that demands credentials, and what it is reached with.
struct Secured {
    ca: Ca,
    clients: Ca,
    server: Server,
    runtime: Runtime,
}

impl Secured {
    fn start() -> Self {
        let (ca, clients) = (Ca::new(), Ca::new());
        let client_ca = clients.file();
        let server = Server::start_with_tls(
            &ca.node(),
            &[
                "--auth",
                "on",
                "--tls-client-ca",
                client_ca.to_str().unwrap(),
                "--client-certificate-role",
                "reader=CN:dashboard",
            ],
        );
        Self { ca, clients, server, runtime: Runtime::new().unwrap() }
    }

    fn token(&self, flags: &[&str]) -> String {
        self.server.create_api_token(&[&["--name", "test"], flags].concat())
    }

    fn revoked_token(&self) -> String {
        let admin = self.token(&["--role", "admin"]);
        let revoked = self.server.create_api_token(&["--role", "reader", "--name", "revoked"]);
        let client = http::tls_client(&self.ca.file(), None);
        let url = format!("{}/v1/tokens", self.server.url);
        self.runtime.block_on(async {
            let listed: Value = client.get(&url).bearer_auth(&admin).send().await.unwrap().json().await.unwrap();
            let id = listed["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "revoked").unwrap();
            let path = format!("{url}/{}", id["id"].as_str().unwrap());
            client.delete(path).bearer_auth(&admin).send().await.unwrap().error_for_status().unwrap();
        });
        revoked
    }

    /// The status of a request for the list of clusters, and the answer; `None` if the handshake fails.
    fn list(&self, identity: Option<&Identity>, bearer: Option<&str>) -> Option<(u16, Value)> {
        let client = http::tls_client(&self.ca.file(), identity);
        let request = client.get(format!("{}/v1/clusters", self.server.url));
        let request = if let Some(bearer) = bearer { request.bearer_auth(bearer) } else { request };
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            Some((answer.status().as_u16(), answer.json().await.unwrap()))
        })
    }

    /// A new cluster for one etcd: its discovery token.
    fn new_cluster(&self) -> String {
        let client = http::tls_client(&self.ca.file(), None);
        let url = self.runtime.block_on(async {
            client.get(format!("{}/new?size=1", self.server.url)).send().await.unwrap().text().await.unwrap()
        });
        url.rsplit_once('/').unwrap().1.to_owned()
    }

    /// Starts an etcd 3.7 that bootstraps by v3 discovery with further flags.
    fn discover(&self, version: &Version, token: &str, more: &[&str]) -> Etcd {
        let (place, ca) = (Arc::new(Place::new()), self.ca.file());
        let mut flags = vec!["--name", "infra0", "--initial-advertise-peer-urls", &place.peer_url];
        flags.extend(["--discovery-endpoints", &self.server.url, "--discovery-token", token]);
        flags.extend(["--discovery-cacert", ca.to_str().unwrap()]);
        flags.extend(more);
        version.start(&place, &flags)
    }
}

#[test]
fn etcd_3_7_with_a_user_and_a_password_is_served_or_told_why_not() {
    let Some(version) = Version::find("3.7") else { return };
    let secured = Secured::start();
    let reader = secured.token(&["--role", "reader"]);
    let expired = secured.token(&["--role", "reader", "--expires", "1s"]);
    let says = |token: &str| secured.list(None, Some(token)).unwrap().1["detail"].to_string();
    wait_for(LIMIT, || says(&expired).contains("has expired").then_some(())).unwrap();

    // No user is needed, as the discovery token suffices; one with a valid API token is accepted.
    for login in [&[][..], &["--discovery-user", "etcd", "--discovery-password", &reader]] {
        let etcd = secured.discover(&version, &secured.new_cluster(), login);
        etcd.wait_until_healthy(LIMIT);
    }
    let revoked = secured.revoked_token();
    wait_for(LIMIT, || says(&revoked).contains("revoked").then_some(())).unwrap();
    let unknown = format!("cvn_{}", "A".repeat(43));
    let token = secured.new_cluster();
    for (password, words) in [
        (revoked.as_str(), "was revoked"),
        (&expired, "has expired; an administrator creates a new one with `convene token create`"),
        (&unknown, "check that the token is complete, and from this server"),
        ("a password", "the password must be an API token (cvn_"),
    ] {
        let etcd = secured.discover(&version, &token, &["--discovery-user", "etcd", "--discovery-password", password]);
        etcd.wait_for_output(words, LIMIT);
    }
    // The discovery token of another server: etcd itself finds the words.
    let etcd = secured.discover(&version, "6c007a14875d53d9bf0ef5a6fc0257c8", &[]);
    etcd.wait_for_output("discovery: size key not found", LIMIT);
}

#[test]
fn etcd_3_7_with_a_client_certificate_that_is_expired_or_of_another_ca_is_told_so() {
    let Some(version) = Version::find("3.7") else { return };
    let secured = Secured::start();
    let token = secured.new_cluster();
    for (identity, words) in [
        (secured.clients.expired_client("infra0"), "expired certificate"),
        (Ca::new().client("infra0"), "remote error: tls: "),
    ] {
        let [certificate, key] = [&identity.certificate, &identity.key].map(|file| file.to_str().unwrap());
        let etcd = secured.discover(&version, &token, &["--discovery-cert", certificate, "--discovery-key", key]);
        etcd.wait_for_output(words, LIMIT);
    }
}

#[test]
fn a_client_certificate_has_the_role_of_its_rule_and_no_other() {
    let secured = Secured::start();
    // Otherwise the answer is how to create the first administrator.
    let _admin = secured.token(&["--role", "admin"]);
    let dashboard = secured.clients.client("dashboard");
    assert_eq!(secured.list(Some(&dashboard), None).unwrap().0, 200);
    for identity in [None, Some(secured.clients.client("stranger"))] {
        let detail = || secured.list(identity.as_ref(), None).unwrap().1["detail"].to_string();
        // The server learns a little later that there is an administrator.
        wait_for(LIMIT, || detail().contains("send an API token").then_some(())).unwrap();
        assert_eq!(secured.list(identity.as_ref(), None).unwrap().0, 401);
    }
    for identity in [secured.clients.expired_client("dashboard"), Ca::new().client("dashboard")] {
        assert_eq!(secured.list(Some(&identity), None), None);
    }
    // A reader changes nothing.
    let client = http::tls_client(&secured.ca.file(), Some(&dashboard));
    let request = client.post(format!("{}/v1/clusters", secured.server.url)).json(&json!({ "size": 1 }));
    let (status, problem) = secured.runtime.block_on(async {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    });
    assert!(
        status == 403 && problem["detail"].as_str().unwrap().contains("the request needs the role admin"),
        "{problem}"
    );
    secured.server.wait_for_output("certificate dashboard", LIMIT);
}
