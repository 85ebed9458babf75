//! Nodes that check in, and the administrator of their cluster.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use convene_harness::{http, server::Server};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scrape::Scrape;

/// How long a test waits for anything that has to happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until something has happened.
pub async fn wait_until(what: &str, has_happened: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !has_happened().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a check-in shows.
#[derive(Clone, Default)]
pub struct Credential {
    secret: Option<String>,
    join_token: Option<String>,
    next: Option<String>,
}

impl Credential {
    /// Nothing, as a client of an earlier version.
    pub fn none() -> Self {
        Self::default()
    }

    /// A new credential.
    pub fn draw() -> Self {
        let mut random = [0; 32];
        getrandom::fill(&mut random).unwrap();
        Self { secret: Some(format!("cvnn_{}", BASE64_URL_SAFE_NO_PAD.encode(random))), ..Self::default() }
    }

    pub fn secret(&self) -> &str {
        self.secret.as_deref().expect("there is a credential")
    }

    /// The same with a join token.
    pub fn with_join_token(&self, token: &str) -> Self {
        Self { join_token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same with the announcement of the one that comes next.
    pub fn announcing(&self, next: &Self) -> Self {
        let hash = Sha256::digest(next.secret().as_bytes());
        Self { next: Some(hash.iter().map(|byte| format!("{byte:02x}")).collect()), ..self.clone() }
    }
}

/// A cluster whose nodes need credentials.
pub struct Joining {
    pub server: Server,
    pub http: Client,
    admin: Option<String>,
    token: String,
}

impl Joining {
    /// A cluster with these settings, on a server that demands credentials.
    pub async fn start(settings: Value) -> Self {
        let (server, admin) = Server::start_with_auth(&[]);
        Self::on(server, Some(admin), settings).await
    }

    /// A cluster with these settings on a server.
    pub async fn on(server: Server, admin: Option<String>, settings: Value) -> Self {
        Self::by(http::client(), server, admin, settings).await
    }

    /// The same with another HTTP client.
    pub async fn by(http: Client, server: Server, admin: Option<String>, settings: Value) -> Self {
        let request = http.post(format!("{}/v1/clusters", server.url)).json(&settings);
        let request = if let Some(admin) = &admin { request.bearer_auth(admin) } else { request };
        let created: Value = request.send().await.unwrap().json().await.unwrap();
        let token = created["token"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned();
        Self { server, http, admin, token }
    }

    /// Another cluster on the same server, which is not used through this one any more.
    pub async fn into_another_cluster(self, settings: Value) -> Self {
        let Self { server, http, admin, .. } = self;
        Self::by(http, server, admin, settings).await
    }

    /// The same cluster at another server.
    pub fn at(&self, server: Server) -> Self {
        Self { server, http: self.http.clone(), admin: self.admin.clone(), token: self.token.clone() }
    }

    /// The same by another HTTP client.
    pub fn through(self, http: Client) -> Self {
        Self { http, ..self }
    }

    /// The same after a crash of the server.
    pub fn restart(self) -> Self {
        let Self { server, admin, token, .. } = self;
        // The connections have ended.
        Self { server: server.crash().restart(), http: http::client(), admin, token }
    }

    /// Sends a request about the cluster with a bearer token, if there is one.
    pub async fn send(&self, method: Method, path: &str, bearer: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/v1/clusters/{}{path}", self.server.url, self.token);
        let request = self.http.request(method, url);
        let request = if let Some(bearer) = bearer { request.bearer_auth(bearer) } else { request };
        let request = if let Some(body) = body { request.json(&body) } else { request.json(&json!({})) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Sends an administrator's request, which succeeds.
    pub async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.send(method, path, self.admin.as_deref(), body).await;
        assert!((200..300).contains(&status), "{path}: {status}: {answer}");
        answer
    }

    /// Scrapes the server's metrics until a series has a value.
    pub async fn scrape_until(&self, series: &str, value: f64) {
        let admin = self.admin.as_deref().expect("the server demands credentials");
        Scrape::until_for_reader(&self.server, admin, series, value).await;
    }

    /// The discovery token.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}/v1/clusters/{}{path}", self.server.url, self.token);
        let request = self.http.get(url);
        let request = if let Some(admin) = &self.admin { request.bearer_auth(admin) } else { request };
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn revision(&self) -> Value {
        self.get("").await["revision"].clone()
    }

    /// Creates a join token, and returns its secret.
    pub async fn join_token(&self, body: Value) -> String {
        let created = self.administer(Method::POST, "/join-tokens", Some(body)).await;
        created["secret"].as_str().unwrap().to_owned()
    }

    /// The messages of the cluster's events of a kind.
    pub async fn events(&self, kind: &str) -> Vec<String> {
        let events = self.get("/events").await;
        let events = events["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind);
        events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Checks in for a node without data, and returns the status and the answer.
    pub async fn check_in(&self, node: &str, shown: &Credential) -> (u16, Value) {
        self.check_in_with(node, shown, json!({ "state": "empty" })).await
    }

    /// Checks in for a node in a state, and returns the status and the answer.
    pub async fn check_in_with(&self, node: &str, shown: &Credential, state: Value) -> (u16, Value) {
        let number: u32 = node.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default();
        let mut report = state;
        report["name"] = json!(node);
        report["run_id"] = json!(format!("run-{node}"));
        report["peer_urls"] = json!([format!("http://10.0.0.{}:2380", number + 1)]);
        let url = format!("{}/v1/clusters/{}/check-in", self.server.url, self.token);
        let mut request = self.http.post(url).json(&report);
        if let Some(secret) = &shown.secret {
            request = request.bearer_auth(secret);
        }
        if let Some(token) = &shown.join_token {
            request = request.header("Convene-Join-Token", token);
        }
        if let Some(next) = &shown.next {
            request = request.header("Convene-Next-Credential", next);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn admitted(&self, node: &str, shown: &Credential) {
        let (status, answer) = self.check_in(node, shown).await;
        assert_eq!(status, 200, "{node}: {answer}");
    }

    /// Checks in, and is refused with this status and this code, in one line.
    pub async fn refused(&self, node: &str, shown: &Credential, status: u16, code: &str) -> Value {
        let (found, problem) = self.check_in(node, shown).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{node}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && !detail.contains('\n'), "{detail}");
        let kind = if status == 401 { "node-not-authenticated" } else { "node-not-admitted" };
        assert_eq!(problem["type"], format!("urn:convene:problem:{kind}"));
        problem
    }
}
