//! A long poll, a watch or a stream ends with the credential by which it was opened.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use convene_etcd::wire::{WatchResponse, watch_client::WatchClient};
use convene_harness::{Postgres, http, programs, server::Server, tls::Ca};
use futures_util::{StreamExt, stream};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Request, Status, Streaming};

use super::send;
use crate::{
    join_tokens::client::{Credential, Joining},
    scrape::Scrape,
    v3_client::{self, connect},
};

/// A wait ends so soon after its credential.
const SOON: Duration = Duration::from_secs(5);

/// A cluster on a server that demands credentials, and an API token that ends during the test.
pub(super) struct Watched {
    pub(super) admin: String,
    /// The path of the cluster.
    pub(super) path: String,
    pub(super) token: String,
    /// The path of the API token.
    pub(super) credential: String,
    pub(super) secret: String,
}

/// All waits that a credential may open. Each has received what there was.
pub(super) struct Waits {
    events: Response,
    poll: tokio::task::JoinHandle<Response>,
    v2: Response,
    watch: Streaming<WatchResponse>,
}

impl Watched {
    pub(super) async fn create(server: &Server, admin: String, expires_in_seconds: Option<u64>) -> Self {
        let post = async |path: &str, body: Value| -> Value {
            send(server, Method::POST, path, Some(&admin), Some(body)).await.json().await.unwrap()
        };
        let cluster = post("/v1/clusters", json!({ "size": 3 })).await;
        let id = cluster["id"].as_str().unwrap();
        let new = json!({
            "name": "watcher", "role": "reader", "clusters": [id], "expires_in_seconds": expires_in_seconds
        });
        let created = post("/v1/tokens", new).await;
        Self {
            path: format!("/v1/clusters/{id}"),
            token: cluster["token"].as_str().unwrap().to_owned(),
            credential: format!("/v1/tokens/{}", created["id"].as_str().unwrap()),
            secret: created["secret"].as_str().unwrap().to_owned(),
            admin,
        }
    }

    pub(super) async fn open(&self, server: &Server) -> Waits {
        let url = format!("{}{}/events", server.url, self.path);
        let mut events = stream_of_events(&url, &self.secret).await;
        assert!(text(&events.chunk().await.unwrap().unwrap()).contains("event: cluster_created"));
        let poll = http::client().get(format!("{url}?after=1&wait=60")).bearer_auth(&self.secret).send();
        let poll = tokio::spawn(async { poll.await.unwrap() });
        // The stream and the long poll.
        Scrape::until_for_reader(server, &self.admin, r#"convene_waits{kind="events"}"#, 2.0).await;
        let v2 = http::client().get(format!("{}/{}?wait=true&recursive=true", server.url, self.token));
        let v2 = v2.basic_auth("etcd", Some(&self.secret)).send().await.unwrap();
        assert_eq!(v2.status(), StatusCode::OK);
        Waits { events, poll, v2, watch: watch(server, &self.token, &self.secret).await.unwrap() }
    }

    async fn pause(&self, server: &Server) {
        let paused = send(server, Method::POST, &format!("{}/pause", self.path), Some(&self.admin), None).await;
        assert_eq!(paused.status(), StatusCode::OK);
    }
}

impl Waits {
    /// Asserts that all end without anything that has happened since they were opened.
    async fn end(mut self, why: &str) {
        let deadline = Instant::now() + SOON;
        let told = rest(&mut self.events, deadline).await;
        let last: Vec<&str> = told.trim().lines().collect();
        assert_eq!(last.first(), Some(&"event: denied"), "{told}");
        let problem: Value = serde_json::from_str(last[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&problem["status"], problem["detail"].as_str().unwrap().contains(why)), (&json!(401), true));

        let poll = before(deadline, self.poll).await.unwrap();
        assert_eq!(poll.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(poll.headers()["content-type"], "application/problem+json");
        assert!(poll.headers().contains_key("www-authenticate"));
        assert!(poll.json::<Value>().await.unwrap()["detail"].as_str().unwrap().contains(why));

        assert_eq!(rest(&mut self.v2, deadline).await, "");
        let status = before(deadline, self.watch.message()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "etcdserver: invalid auth token"));
    }
}

async fn before<T>(deadline: Instant, what: impl Future<Output = T>) -> T {
    tokio::time::timeout_at(deadline.into(), what).await.expect("does not end soon")
}

/// What is still sent until the answer ends.
async fn rest(answer: &mut Response, deadline: Instant) -> String {
    let mut rest = String::new();
    while let Some(chunk) = before(deadline, answer.chunk()).await.unwrap() {
        rest += &text(&chunk);
    }
    rest
}

fn text(chunk: &[u8]) -> String {
    String::from_utf8(chunk.to_vec()).unwrap()
}

async fn stream_of_events(url: &str, secret: &str) -> Response {
    let opened =
        http::client().get(url).header("accept", "text/event-stream").bearer_auth(secret).send().await.unwrap();
    assert_eq!(opened.status(), StatusCode::OK);
    opened
}

/// A watch of all keys of a cluster, as etcd's client opens it after a login.
async fn watch(server: &Server, token: &str, secret: &str) -> Result<Streaming<WatchResponse>, Status> {
    let cluster = v3_client::Cluster { token: token.to_owned(), created: 1 };
    let asked = stream::iter([v3_client::create(cluster.watch(0))]).chain(stream::pending());
    let mut request = Request::new(asked);
    request.metadata_mut().insert("token", secret.parse().unwrap());
    let mut watch = WatchClient::new(connect(&server.url).await).watch(request).await?.into_inner();
    assert!(watch.message().await?.unwrap().created);
    Ok(watch)
}

#[tokio::test]
async fn what_a_revoked_token_has_opened_ends_at_once_and_other_streams_go_on() {
    let (server, admin) = Server::start_with_auth(&[]);
    let watched = Watched::create(&server, admin, None).await;
    let waits = watched.open(&server).await;
    let mut other = stream_of_events(&format!("{}{}/events?after=1", server.url, watched.path), &watched.admin).await;
    let revoked = send(&server, Method::DELETE, &watched.credential, Some(&watched.admin), None).await;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    watched.pause(&server).await;
    waits.end("was revoked").await;
    assert!(text(&other.chunk().await.unwrap().unwrap()).contains("event: paused"));
    assert_eq!(watch(&server, &watched.token, &watched.secret).await.unwrap_err().code(), Code::Unauthenticated);
    server.wait_for_stderr("ended while the client waited: the API token", SOON);
}

#[tokio::test]
async fn what_an_expired_token_has_opened_ends() {
    let (server, admin) = Server::start_with_auth(&[]);
    let watched = Watched::create(&server, admin, Some(2)).await;
    watched.open(&server).await.end("has expired").await;
}

#[tokio::test]
async fn what_a_token_has_opened_ends_after_a_revocation_on_the_database() {
    let (server, admin) = Server::start_with_auth(&[]);
    let watched = Watched::create(&server, admin, None).await;
    let waits = watched.open(&server).await;
    let id = watched.credential.rsplit('/').next().unwrap();
    let mut revoke = Command::new(programs::server());
    let revoked = revoke.args(["token", "revoke", id, "--database-url", &server.database_url()]).output().unwrap();
    assert!(revoked.status.success());
    waits.end("was revoked").await;
}

#[tokio::test]
async fn what_a_token_has_opened_ends_after_a_revocation_by_another_server() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let servers = [0, 1].map(|_| Server::start_on(&database, &["--auth", "on"]));
    let admin = servers[0].create_api_token(&["--role", "admin", "--name", "first"]);
    let watched = Watched::create(&servers[0], admin, None).await;
    let waits = watched.open(&servers[1]).await;
    let revoked = send(&servers[0], Method::DELETE, &watched.credential, Some(&watched.admin), None).await;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    waits.end("was revoked").await;
}

#[tokio::test]
async fn the_stream_of_a_node_ends_when_its_credential_is_revoked() {
    let joining = Joining::start(json!({ "size": 3, "policy": { "join": "token" } })).await;
    let node = Credential::draw();
    let first = node.with_join_token(&joining.join_token(json!({})).await);
    let (status, answer) = joining.check_in("infra0", &first).await;
    assert_eq!(status, 200, "{answer}");
    let revision = joining.revision().await;
    let cluster = joining.get("?show_token=true").await;
    let path = format!("/v1/clusters/{}/events?after={revision}", cluster["token"].as_str().unwrap());
    let url = format!("{}{path}", joining.server.url);
    let mut events = stream_of_events(&url, node.secret()).await;
    joining.administer(Method::DELETE, "/nodes/infra0/credential", None).await;
    let told = rest(&mut events, Instant::now() + SOON).await;
    assert!(told.starts_with("event: denied\n"), "{told}");
}

#[tokio::test]
async fn a_stream_ends_with_the_certificate_that_has_opened_it() {
    let (ca, client_ca) = (Ca::new(), Ca::new());
    let trusted = client_ca.file();
    let arguments =
        ["--auth", "on", "--tls-client-ca", trusted.to_str().unwrap(), "--client-certificate-role", "admin=CN:ops"];
    let server = Server::start_with_tls(&ca.node(), &arguments);
    let identity = client_ca.client_for("ops", Duration::from_secs(4));
    let client = http::tls_client(&ca.file(), Some(&identity));
    let created = client.post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": 1 })).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: Value = created.json().await.unwrap();
    let url = format!("{}/v1/clusters/{}/events?after=1", server.url, created["id"].as_str().unwrap());
    let mut events = client.get(url).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(events.status(), StatusCode::OK);
    let told = rest(&mut events, Instant::now() + Duration::from_secs(4) + SOON).await;
    assert!(told.starts_with("event: denied\n") && told.contains("certificate of ops has expired"), "{told}");
}
