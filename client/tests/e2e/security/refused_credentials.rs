//! What each credential is refused with, as a table: one line that says why, and a trace at the server. `server/tests/e2e/tls/credentials.rs`
//! has the rows of users and passwords of stock etcds.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use convene_harness::{
    Place,
    convene::{Convene, Ended},
    etcd::{Etcd, Version},
    http,
    server::Server,
    tls::{Ca, Identity},
    wait_for,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{raw_server::RawServer, registry_tls::pin};
use crate::node::LIMIT;

/// A server with TLS that demands credentials, and what a test does as its administrator.
struct SetUp {
    ca: Ca,
    clients: Ca,
    foreign: Ca,
    server: Server,
    admin: String,
    http: Client,
    runtime: Runtime,
    folder: TempDir,
}

impl SetUp {
    fn start() -> Self {
        let (ca, clients, foreign) = (Ca::new(), Ca::new(), Ca::new());
        let client_ca = clients.file();
        let arguments = ["--auth", "on", "--tls-client-ca", client_ca.to_str().unwrap()];
        let server = Server::start_with_tls(&with_chain(&ca.node()), &arguments);
        let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
        let http = http::tls_client(&ca.file(), None);
        let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        Self { ca, clients, foreign, server, admin, http, runtime, folder }
    }

    fn administer(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.http.request(method, format!("{}/v1/clusters{path}", self.server.url));
        let request = request.bearer_auth(&self.admin).json(body);
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{path}: {status}: {text}");
            serde_json::from_str(&text).unwrap()
        })
    }

    /// The discovery token of a new cluster for one member.
    fn cluster(&self, join: &str) -> String {
        let created = self.administer(Method::POST, "", &json!({ "size": 1, "policy": { "join": join } }));
        created["token"].as_str().unwrap().to_owned()
    }

    /// A new join token: its ID, and a file with it.
    fn join_token(&self, cluster: &str, body: &Value) -> (String, PathBuf) {
        let created = self.administer(Method::POST, &format!("/{cluster}/join-tokens"), body);
        let [id, secret] = ["id", "secret"].map(|field| created[field].as_str().unwrap().to_owned());
        (id.clone(), self.secret_file(&id, &secret))
    }

    fn secret_file(&self, name: &str, secret: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, secret).unwrap();
        file
    }

    /// Runs `convene join` for a cluster of this server, with the pin of a CA if there is one.
    fn join(&self, name: &str, cluster: &str, pinned: Option<&Ca>, more: &[String]) -> Ended {
        let pinned = pinned.map(|ca| format!("#{}", pin(ca))).unwrap_or_default();
        self.join_at(&format!("{}/{cluster}{pinned}", self.server.url), name, more)
    }

    fn join_at(&self, discovery: &str, name: &str, more: &[String]) -> Ended {
        let (name, data) =
            (format!("--name={name}"), format!("--data-dir={}", self.folder.path().join(name).display()));
        let own = ["join".to_owned(), name, data, "--no-promote".to_owned(), "--timeout=20s".to_owned()];
        Convene::new([&own, more].concat()).secure().env("CONVENE_DISCOVERY", discovery).run(LIMIT)
    }

    /// Waits until the server has logged this about a refusal.
    fn wait_for_trace(&self, trace: &str) {
        let is_logged = || self.server.output().lines().any(|line| line.contains("refused") && line.contains(trace));
        wait_for(LIMIT, || is_logged().then_some(()))
            .unwrap_or_else(|| panic!("the server has not logged {trace}: {}", self.server.output()));
    }

    /// The messages of the events that refused check-ins have left.
    fn refusals(&self, cluster: &str) -> Vec<String> {
        let events = self.administer(Method::GET, &format!("/{cluster}/events"), &json!({}));
        let events = events["events"].as_array().unwrap().iter();
        let of_refusals = events.filter(|event| event["kind"] == "node_turned_away");
        of_refusals.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// The same identity with its CA in the chain, as a pin needs it.
fn with_chain(identity: &Identity) -> Identity {
    let chain = [&identity.certificate, &identity.ca].map(|file| fs::read_to_string(file).unwrap()).concat();
    let certificate = identity.certificate.with_file_name("chain.crt");
    fs::write(&certificate, chain).unwrap();
    let mut identity = identity.clone();
    identity.certificate = certificate;
    identity
}

fn certificate_flags(identity: &Identity) -> Vec<String> {
    let files = [("cert", &identity.certificate), ("key", &identity.key)];
    files.map(|(flag, file)| format!("--discovery-{flag}={}", file.display())).to_vec()
}

/// It printed no way to start etcd, and the reason is on the last line.
fn check_refused(row: &str, ended: &Ended, code: i32, words: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{row}: {}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(words), "{row}: {last:?} does not contain {words:?}");
}

#[test]
fn convene_join_is_refused_a_join_token_in_words_and_with_an_event() {
    let set_up = SetUp::start();
    let (cluster, other) = (set_up.cluster("token"), set_up.cluster("token"));
    let (expired_id, expired) = set_up.join_token(&cluster, &json!({ "ttl_seconds": 1 }));
    let (revoked_id, revoked) = set_up.join_token(&cluster, &json!({}));
    set_up.administer(Method::DELETE, &format!("/{cluster}/join-tokens/{revoked_id}"), &json!({}));
    let (_, of_other_cluster) = set_up.join_token(&other, &json!({}));
    let wrong = set_up.secret_file("wrong", &format!("cvnj_{}", "A".repeat(43)));
    let is_expired = || {
        let listed = set_up.administer(Method::GET, &format!("/{cluster}/join-tokens"), &json!({}));
        let listed = listed["join_tokens"].as_array().unwrap();
        listed.iter().any(|token| token["id"] == expired_id.as_str() && token["valid"] == false).then_some(())
    };
    wait_for(LIMIT, is_expired).unwrap();
    for (n, (row, file, code)) in [
        ("missing", None, "join-token-required"),
        ("wrong", Some(&wrong), "join-token-unknown"),
        ("expired", Some(&expired), "join-token-expired"),
        ("revoked", Some(&revoked), "join-token-revoked"),
        ("of another cluster", Some(&of_other_cluster), "join-token-unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        let more: Vec<String> = file.iter().map(|file| format!("--join-token-file={}", file.display())).collect();
        let node = format!("infra{n}");
        let ended = set_up.join(&node, &cluster, Some(&set_up.ca), &more);
        check_refused(row, &ended, 3, &format!("({code})"));
        check_refused(row, &ended, 3, "`convene cluster join-token create CLUSTER`");
        set_up.wait_for_trace(&node);
        let refusals = set_up.refusals(&cluster);
        assert_eq!(refusals.len(), n + 1, "{row}: {refusals:?}");
        assert!(refusals[n].starts_with(&format!("check-in for {node} from 127.0.0.1 refused: ")), "{refusals:?}");
    }
    assert_eq!(set_up.refusals(&other), Vec::<String>::new());
}

#[test]
fn convene_join_is_refused_a_client_certificate_in_words_and_with_a_trace() {
    let set_up = SetUp::start();
    let cluster = set_up.cluster("certificate");
    let by = |identity: Identity| certificate_flags(&identity);
    for (row, flags, code) in [
        ("missing", Vec::new(), "certificate-required"),
        ("of another node", by(set_up.clients.client("infra1")), "certificate-of-other-node"),
    ] {
        check_refused(row, &set_up.join("infra0", &cluster, Some(&set_up.ca), &flags), 3, &format!("({code})"));
        set_up.wait_for_trace(code);
    }
    assert_eq!(set_up.refusals(&cluster).len(), 2);
    // The handshake fails, so that there is no answer.
    for (row, flags, words, trace) in [
        (
            "expired",
            by(set_up.clients.expired_client("infra0")),
            "it does not accept our client certificate",
            "expired",
        ),
        (
            "of a foreign CA",
            by(set_up.foreign.client("infra0")),
            "it does not accept our client certificate",
            "invalid peer certificate",
        ),
    ] {
        let ended = set_up.join("infra0", &cluster, Some(&set_up.ca), &[flags, vec!["--dry-run".to_owned()]].concat());
        check_refused(row, &ended, 5, words);
        set_up.wait_for_trace(trace);
    }
}

#[test]
fn convene_join_refuses_a_server_without_the_pinned_ca_in_words_and_with_a_trace() {
    let set_up = SetUp::start();
    let cluster = set_up.cluster("token");
    let dry_run = ["--dry-run".to_owned()];
    for (row, pinned, words) in [
        ("missing", None, "UnknownIssuer"),
        ("of a foreign CA", Some(&set_up.foreign), "the server shows no certificate of the CA with the pin"),
    ] {
        check_refused(row, &set_up.join("infra0", &cluster, pinned, &dry_run), 5, words);
        set_up.wait_for_trace("received fatal alert");
    }
    let wrong = format!("{}/{cluster}#sha256:{}", set_up.server.url, "0".repeat(64));
    check_refused("wrong", &set_up.join_at(&wrong, "infra0", &dry_run), 5, "no certificate of the CA with the pin");
    let expired = RawServer::with_tls_and_json(&with_chain(&set_up.ca.expired_node()), "{}");
    let expired =
        format!("https://{}/{cluster}#{}", expired.address.replace("127.0.0.1", "localhost"), pin(&set_up.ca));
    check_refused("expired", &set_up.join_at(&expired, "infra0", &dry_run), 5, "expired");
    // The cluster of another server.
    let unknown = set_up.join("infra0", "6c007a14875d53d9bf0ef5a6fc0257c8", Some(&set_up.ca), &[]);
    check_refused("of another server", &unknown, 3, "6c007a");
}

/// Starts an etcd that bootstraps at this server: by v2 discovery, or by v3 discovery if it is a 3.7.
fn discover(version: &Version, server: &str, cluster: &str, trusted: &Ca) -> Etcd {
    if version.name == "3.5" {
        return version.discover_over_tls("infra0", &format!("{server}/{cluster}"), &trusted.file());
    }
    let (place, ca) = (Arc::new(Place::new()), trusted.file());
    let own = ["--name", "infra0", "--initial-advertise-peer-urls", &place.peer_url];
    let discovery = ["--discovery-endpoints", server, "--discovery-token", cluster];
    let trust = ["--discovery-cacert", ca.to_str().unwrap()];
    version.start(&place, &[&own[..], &discovery, &trust].concat())
}

#[test]
fn stock_etcds_refuse_a_server_and_are_refused_in_words() {
    let set_up = SetUp::start();
    let full = set_up.cluster("open");
    let unknown = "6c007a14875d53d9bf0ef5a6fc0257c8";
    let expired = RawServer::with_tls_and_json(&set_up.ca.expired_node(), "{}");
    let expired_url = format!("https://{}", expired.address.replace("127.0.0.1", "localhost"));
    for version in ["3.5", "3.7"].iter().filter_map(|version| Version::find(version)) {
        let own = if version.name == "3.5" { full.clone() } else { set_up.cluster("open") };
        let member = discover(&version, &set_up.server.url, &own, &set_up.ca);
        member.wait_until_healthy(LIMIT);
        // They try again until they are ended, so all of them run at the same time.
        let not_found = if version.name == "3.5" { "Key not found" } else { "size key not found" };
        let rows = [
            ("the discovery token of another server", &set_up.server.url, unknown, &set_up.ca, not_found),
            ("the discovery token of another cluster", &set_up.server.url, own.as_str(), &set_up.ca, "full"),
            ("a foreign CA", &set_up.server.url, own.as_str(), &set_up.foreign, "unknown authority"),
            ("an expired certificate", &expired_url, own.as_str(), &set_up.ca, "expired"),
        ];
        let etcds = rows.map(|(row, server, cluster, ca, words)| (row, discover(&version, server, cluster, ca), words));
        for (row, etcd, words) in &etcds {
            println!("etcd {} with {row}", version.name);
            etcd.wait_for_output(words, Duration::from_secs(30));
        }
        set_up.wait_for_trace("BadCertificate");
    }
}
