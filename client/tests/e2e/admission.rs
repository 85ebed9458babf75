//! A node is admitted by a join token, and then by its own credential.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use convene_harness::{etcd::Version, http, server::Server, tls::Ca};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{LIMIT, Node, Registry, join_together, wait_until_healthy};

/// A cluster on a server that demands credentials, and its administrator.
pub struct Admitting {
    server: Server,
    admin: String,
    http: Client,
    token: String,
    folder: TempDir,
}

impl Admitting {
    pub fn start(settings: Value) -> Self {
        let (server, admin) = Server::start_with_auth(&[]);
        Self::on(server, admin, http::client(), settings)
    }

    fn on(server: Server, admin: String, http: Client, settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut admitting = Self { server, admin, http, token: String::new(), folder };
        admitting.token = admitting.create(settings);
        admitting
    }

    fn create(&self, mut settings: Value) -> String {
        settings["policy"]["dead_after_seconds"] = json!(5);
        settings["policy"]["check_in_every_seconds"] = json!(1);
        let created = self.send(Method::POST, format!("{}/v1/clusters", self.server.url), settings);
        created["token"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
    }

    /// The registry loses the cluster with its credentials, and gets another one with the same token.
    pub fn lose_registry(&self, mut settings: Value) {
        self.administer(Method::DELETE, "?used=forget", json!({}));
        settings["token"] = json!(self.token);
        self.create(settings);
    }

    pub fn registry(&self) -> Registry {
        Registry::at(format!("{}/{}", self.server.url, self.token))
    }

    pub fn administer(&self, method: Method, path: &str, body: Value) -> Value {
        self.send(method, format!("{}/v1/clusters/{}{path}", self.server.url, self.token), body)
    }

    fn send(&self, method: Method, url: String, body: Value) -> Value {
        let request = self.http.request(method, url).bearer_auth(&self.admin).json(&body);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{status}: {text}");
            serde_json::from_str(&text).unwrap()
        })
    }

    /// A file with a new join token.
    pub fn join_token(&self, name: &str, body: Value) -> PathBuf {
        let created = self.administer(Method::POST, "/join-tokens", body);
        let file = self.folder.path().join(name);
        fs::write(&file, created["secret"].as_str().unwrap()).unwrap();
        file
    }
}

/// The directory of `convene` next to the data of a node.
fn state_dir(node: &Node) -> PathBuf {
    let data_dir = node.place.data_dir();
    let name = format!(".{}.convene", data_dir.file_name().unwrap().to_str().unwrap());
    data_dir.parent().unwrap().join(name)
}

fn credential_file(node: &Node) -> PathBuf {
    let files = fs::read_dir(state_dir(node)).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("credential-"));
    let file = files.next().expect("the node has a credential");
    assert!(files.next().is_none(), "the node has one credential");
    file
}

/// Runs `convene join`, which is refused with this code, in one line, and prints no way to start etcd. Returns what it says.
fn refused(node: &Node, code: &str) -> String {
    let ended = node.call("join", &["--no-promote", "--timeout=20s"]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}: {}", ended.stderr, ended.stdout);
    assert_eq!(ended.stdout, "");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains(&format!("({code})")) && last.contains("convene cluster join-token create"), "{last}");
    ended.stderr
}

#[test]
fn three_nodes_form_a_cluster_by_a_join_token_and_one_that_loses_its_disk_needs_another() {
    let Some(version) = Version::find("3.6") else { return };
    let admitting = Admitting::start(json!({ "size": 3 }));
    let registry = admitting.registry();
    let mut nodes: Vec<Node> = (0..3).map(|n| Node::new(&version, &registry, &format!("infra{n}"))).collect();
    refused(&nodes[0], "join-token-required");
    let file = admitting.join_token("founders", json!({ "uses": 3 }));
    nodes.iter_mut().for_each(|node| node.join_token_file = Some(file.clone()));
    join_together(&mut nodes);
    wait_until_healthy(&nodes);
    let own = credential_file(&nodes[0]);
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);

    // From now on the credential alone speaks for the node.
    fs::remove_file(&file).unwrap();
    nodes[0].kill();
    nodes[0].join_and_promote();
    wait_until_healthy(&nodes);

    // Another node can't use it.
    let mut stranger = Node::new(&version, &registry, "infra1");
    stranger.more = vec![format!("--credential-file={}", own.display())];
    let ended = stranger.call("join", &["--no-promote", "--timeout=20s"]).run(LIMIT);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("holds the credential of node infra0"), "{}", ended.stderr);

    // The credential is lost with the disk, and the join token was removed.
    nodes[2].lose_disk();
    fs::remove_dir_all(state_dir(&nodes[2])).unwrap();
    let said = refused(&nodes[2], "node-bound");
    assert!(said.contains(&format!("--join-token-file {} does not exist", file.display())), "{said}");
    nodes[2].join_token_file = Some(admitting.join_token("again", json!({ "node": "infra2" })));
    nodes[2].join_and_promote();
    wait_until_healthy(&nodes);

    // A node that was revoked does not start, although it has data.
    admitting.administer(Method::DELETE, "/nodes/infra1/credential", json!({}));
    nodes[1].kill();
    nodes[1].join_token_file = None;
    refused(&nodes[1], "credential-revoked");
    nodes[1].join_token_file = Some(admitting.join_token("any", json!({ "uses": 3 })));
    refused(&nodes[1], "credential-revoked");
    nodes[1].join_token_file = Some(admitting.join_token("back", json!({ "node": "infra1" })));
    nodes[1].join_and_promote();
    wait_until_healthy(&nodes);

    let left = nodes[1].call("leave", &["--timeout=40s"]).run(LIMIT);
    assert_eq!(left.code, Some(0), "{}", left.stderr);
}

#[test]
fn in_an_open_cluster_a_member_that_lost_its_credential_needs_a_join_token_for_its_name() {
    let Some(version) = Version::find("3.5") else { return };
    let admitting = Admitting::start(json!({ "size": 1, "policy": { "join": "open" } }));
    let registry = admitting.registry();
    let mut node = Node::new(&version, &registry, "infra0");
    node.join_and_promote();
    node.kill();
    fs::remove_dir_all(state_dir(&node)).unwrap();
    let ended = node.call("join", &["--no-promote", "--timeout=20s"]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("(node-bound)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("convene cluster join-token create --node infra0"), "{}", ended.stderr);
    node.join_token_file = Some(admitting.join_token("own", json!({ "node": "infra0" })));
    node.join_and_promote();
    wait_until_healthy(&[node]);
}

#[test]
fn a_member_that_stock_etcds_registered_is_spoken_for_by_a_join_token() {
    let Some(version) = Version::find("3.5") else { return };
    let admitting = Admitting::start(json!({ "size": 1, "policy": { "join": "open" } }));
    let registry = admitting.registry();
    let mut node = Node::new(&version, &registry, "infra0");
    node.discover();
    wait_until_healthy(std::slice::from_ref(&node));

    node.kill();

    // The discovery token alone does nothing, in words, and with an event.
    refused(&node, "join-token-required");
    let left = node.call("leave", &["--timeout=20s"]).run(LIMIT);
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    assert!(left.stderr.contains("(join-token-required)"), "{}", left.stderr);
    let events = admitting.administer(Method::GET, "/events", json!({}));
    let is_refusal = |event: &&Value| event["kind"] == "node_turned_away";
    let refusals: Vec<&Value> = events["events"].as_array().unwrap().iter().filter(is_refusal).collect();
    assert_eq!(refusals.len(), 1, "{events}");
    assert!(refusals[0]["message"].as_str().unwrap().contains("stock etcd nodes have registered"), "{}", refusals[0]);

    node.join_token_file = Some(admitting.join_token("any", json!({})));
    node.join_and_promote();
    // A new node comes by the discovery token, as before.
    let spare = Node::new(&version, &registry, "infra1").call("join", &["--once", "--timeout=20s"]).run(LIMIT);
    assert!(spare.code == Some(3) && spare.stderr.contains("has all 1 voter"), "{}", spare.stderr);
    wait_until_healthy(&[node]);
}

#[test]
fn a_node_joins_by_its_client_certificate() {
    let Some(version) = Version::find("3.6") else { return };
    let ca = Ca::new();
    let trusted = ca.file();
    let server = Server::start_with_tls(&ca.node(), &["--auth", "on", "--tls-client-ca", trusted.to_str().unwrap()]);
    let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
    let client = http::tls_client(&ca.file(), None);
    let admitting = Admitting::on(server, admin, client, json!({ "size": 1, "policy": { "join": "certificate" } }));
    let mut node = Node::new(&version, &admitting.registry(), "infra0");
    let shown = |name: &str| {
        let identity = ca.client(name);
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let flags = [("cacert", identity.ca.display()), ("cert", certificate), ("key", key)];
        flags.map(|(flag, path)| format!("--discovery-{flag}={path}")).to_vec()
    };
    for (flags, code) in
        [(shown("infra1"), "certificate-of-other-node"), (shown("infra0")[..1].to_vec(), "certificate-required")]
    {
        node.more = flags;
        let ended = node.call("join", &["--no-promote", "--timeout=20s"]).run(LIMIT);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("({code})")), "{}", ended.stderr);
    }
    node.more = shown("infra0");
    node.join_and_promote();
    wait_until_healthy(&[node]);
}
