use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, header};
use serde::Serialize;
use serde_json::Value;

use crate::discovery_url::ServerUrl;

use super::REQUEST;

/// A request to one of the API's paths.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    revision: Option<u64>,
    held: Duration,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, revision: None, held: Duration::ZERO }
    }

    /// The same with a body, if there is one.
    pub fn body(self, body: Option<&impl Serialize>) -> Self {
        let body = body.map(|body| serde_json::to_value(body).expect("what is sent can be written as JSON"));
        Self { body, ..self }
    }

    /// The same, refused unless the cluster is still at a revision: its ETag is the revision in quotes.
    pub fn only_at(self, revision: u64) -> Self {
        Self { revision: Some(revision), ..self }
    }

    /// The same, whose answer the server may hold back for so long.
    pub fn held_for(self, held: Duration) -> Self {
        Self { held, ..self }
    }

    pub(super) fn over(self, http: &Client, server: &ServerUrl) -> RequestBuilder {
        let mut request = http
            .request(self.method, server.join(&self.path))
            .header(header::ACCEPT, "application/json")
            .timeout(REQUEST + self.held);
        if let Some(revision) = self.revision {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        request
    }
}
