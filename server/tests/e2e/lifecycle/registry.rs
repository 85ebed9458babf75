use std::collections::BTreeSet;

use convene_harness::{http, server::Server};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

/// One cluster in the registry, as `/v1` and v2 discovery show it.
pub struct Registry {
    runtime: Runtime,
    server: Server,
    token: String,
}

impl Registry {
    /// Starts a server and makes a cluster of three, with deadlines that a test can wait for.
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = Server::start_with(&["--stock-writes", "allow"]);
        let url = runtime.block_on(server.new_cluster(3));
        let token = url.rsplit_once('/').unwrap().1.to_owned();
        let registry = Self { runtime, server, token };
        // The nodes here read no metrics, so their probes must suffice.
        registry.change(r#"{"policy": {"dead_after_seconds": 5, "check_in_every_seconds": 1, "witnesses": 1}}"#);
        registry
    }

    /// Where the server is reached.
    pub fn server_url(&self) -> &str {
        &self.server.url
    }

    /// The cluster's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What stock etcds are started with.
    pub fn discovery_url(&self) -> String {
        format!("{}/{}", self.server.url, self.token)
    }

    /// Changes the cluster's settings.
    pub fn change(&self, settings: &'static str) {
        self.ask(Method::PATCH, "", |request| request.header("content-type", "application/json").body(settings));
    }

    /// Checks in for a node, and returns the instruction.
    pub fn check_in(&self, report: &Value) -> Value {
        self.ask(Method::POST, "/check-in", |request| request.json(report))
    }

    /// The cluster.
    pub fn cluster(&self) -> Value {
        self.ask(Method::GET, "", |request| request)
    }

    /// The IDs of its members.
    pub fn members(&self) -> BTreeSet<String> {
        let members = self.ask(Method::GET, "/members", |request| request);
        let members = members["members"].as_array().unwrap();
        members.iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The keys of its members in v2 discovery.
    pub fn keys(&self) -> BTreeSet<String> {
        let shown = self.send(http::client().get(self.discovery_url()));
        let nodes = shown["node"]["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node["key"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned()).collect()
    }

    /// Registers a member as elastic-etcd does when it has added one: whatever is there already.
    pub fn put(&self, key: &str, value: &str) {
        self.send(http::client().put(format!("{}/{key}", self.discovery_url())).form(&[("value", value)]));
    }

    /// Takes a member out as elastic-etcd does when it has removed one.
    pub fn delete(&self, key: &str) {
        self.send(http::client().delete(format!("{}/{key}", self.discovery_url())));
    }

    fn ask(&self, method: Method, below: &str, with: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Value {
        let url = format!("{}/v1/clusters/{}{below}", self.server.url, self.token);
        self.send(with(http::client().request(method, url)))
    }

    fn send(&self, request: RequestBuilder) -> Value {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{status}: {text}");
            serde_json::from_str(&text).unwrap()
        })
    }
}
