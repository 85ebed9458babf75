//! One cluster, through `/v1` and v2 discovery.

use std::collections::BTreeMap;

use convene_harness::{http, server::Server};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A cluster under test.
pub struct TestCluster {
    runtime: Runtime,
    server: String,
    token: String,
}

impl TestCluster {
    /// The cluster of a token, which need not exist.
    pub fn of(server: &Server, token: &str) -> Self {
        Self { runtime: Runtime::new().unwrap(), server: server.url.clone(), token: token.to_owned() }
    }

    /// The cluster of a new token, created by `/new`.
    pub fn draw(server: &Server, size: u32) -> Self {
        let runtime = Runtime::new().unwrap();
        let url = runtime.block_on(server.new_cluster(size));
        let token = url.rsplit_once('/').unwrap().1.to_owned();
        Self { runtime, server: server.url.clone(), token }
    }

    /// The cluster of a new token, created by the API.
    pub fn create(server: &Server, size: u32) -> Self {
        let runtime = Runtime::new().unwrap();
        let request = http::client().post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": size }));
        let (_, cluster) = send(&runtime, request);
        let token = cluster["token"].as_str().unwrap_or_else(|| panic!("no token: {cluster}")).to_owned();
        Self { runtime, server: server.url.clone(), token }
    }

    /// Its token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The discovery URL for v2 clients.
    pub fn discovery_url(&self) -> String {
        format!("{}/{}", self.server, self.token)
    }

    /// The cluster in the API.
    pub fn cluster(&self) -> Value {
        self.found(Method::GET, self.api(""))
    }

    /// The members in the API: their IDs with their names.
    pub fn members(&self) -> BTreeMap<String, String> {
        let listed = self.found(Method::GET, self.api("/members"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        listed["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| (text(&member["id"]), text(&member["name"])))
            .collect()
    }

    /// The size in v2 discovery.
    pub fn v2_size(&self) -> String {
        let shown = self.found(Method::GET, format!("{}/_config/size", self.discovery_url()));
        shown["node"]["value"].as_str().unwrap().to_owned()
    }

    /// The members in v2 discovery: their keys without the directory, with their values.
    pub fn v2_members(&self) -> BTreeMap<String, String> {
        let shown = self.found(Method::GET, self.discovery_url());
        let nodes = shown["node"]["nodes"].as_array().into_iter().flatten();
        let entry = |node: &Value| {
            let (key, value) = (node["key"].as_str().unwrap(), node["value"].as_str().unwrap());
            (key.rsplit_once('/').unwrap().1.to_owned(), value.to_owned())
        };
        nodes.map(entry).collect()
    }

    /// Registers a member as v2 clients do.
    pub fn v2_register(&self, member: &str, value: &str) {
        let url = format!("{}/{member}?prevExist=false", self.discovery_url());
        let (status, body) = send(&self.runtime, http::client().put(url).form(&[("value", value)]));
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }

    /// Removes a member as v2 clients do.
    pub fn v2_remove(&self, member: &str) {
        self.found(Method::DELETE, format!("{}/{member}", self.discovery_url()));
    }

    /// Changes the size through the API.
    pub fn resize(&self, size: u32) {
        let request = http::client().patch(self.api("")).json(&json!({ "size": size }));
        let (status, body) = send(&self.runtime, request);
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// The statuses with which the API and v2 discovery answer a read of the cluster.
    pub fn statuses(&self) -> [StatusCode; 2] {
        [self.api(""), self.discovery_url()].map(|url| send(&self.runtime, http::client().get(url)).0)
    }

    fn api(&self, below: &str) -> String {
        format!("{}/v1/clusters/{}{below}", self.server, self.token)
    }

    fn found(&self, method: Method, url: String) -> Value {
        let (status, body) = send(&self.runtime, http::client().request(method, &url));
        assert_eq!(status, StatusCode::OK, "{url}: {body}");
        body
    }
}

/// Sends a request whose answer is JSON.
fn send(runtime: &Runtime, request: RequestBuilder) -> (StatusCode, Value) {
    runtime.block_on(async {
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status}, {error}: {text}")))
    })
}
