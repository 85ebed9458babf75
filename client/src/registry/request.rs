use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, header};
use serde::Serialize;
use serde_json::Value;

use crate::discovery_url::ServerUrl;

use super::REQUEST_TIMEOUT;

/// A request to one of the API's paths.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    if_match: Option<u64>,
    long_poll: Duration,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, if_match: None, long_poll: Duration::ZERO }
    }

    /// The same request with a body, if there is one.
    pub fn body(self, body: Option<&impl Serialize>) -> Self {
        let body = body.map(|body| serde_json::to_value(body).expect("a request body can be written as JSON"));
        Self { body, ..self }
    }

    /// The same request, to be refused unless the cluster is still at this revision. The ETag of a cluster is its
    /// revision in quotes.
    pub fn if_revision(self, revision: u64) -> Self {
        Self { if_match: Some(revision), ..self }
    }

    /// The same request, whose response the server may hold back for this time.
    pub fn long_poll(self, wait: Duration) -> Self {
        Self { long_poll: wait, ..self }
    }

    pub(super) fn build(self, http: &Client, server: &ServerUrl) -> RequestBuilder {
        let has_body = ![Method::GET, Method::DELETE].contains(&self.method);
        let mut request = http
            .request(self.method, server.join(&self.path))
            .header(header::ACCEPT, "application/json")
            .timeout(REQUEST_TIMEOUT + self.long_poll);
        if let Some(revision) = self.if_match {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        match &self.body {
            Some(body) => request = request.json(body),
            // The server demands it also without a body, because no web page of another origin can send it.
            None if has_body => request = request.header(header::CONTENT_TYPE, "application/json"),
            None => {}
        }
        request
    }
}
