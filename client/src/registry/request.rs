use std::time::Duration;

use reqwest::{
    Client, Method, RequestBuilder,
    header::{self, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;

use crate::{credential::Shown, discovery_url::ServerUrl};

use super::REQUEST_TIMEOUT;

/// A request to one of the API's paths.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    if_match: Option<u64>,
    long_poll: Duration,
    shown: Shown,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            if_match: None,
            long_poll: Duration::ZERO,
            shown: Shown::default(),
        }
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

    /// For how long the server may hold back the response.
    pub fn held(&self) -> Duration {
        self.long_poll
    }

    /// The same request for a node, with what shows that it speaks for that node.
    pub fn show(self, shown: Shown) -> Self {
        Self { shown, ..self }
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
        let Shown { credential, join_token, next } = self.shown;
        let credential = credential.map(|credential| format!("Bearer {credential}"));
        let headers = [
            (header::AUTHORIZATION.as_str(), credential),
            ("convene-join-token", join_token),
            ("convene-next-credential", next),
        ];
        for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let mut value = HeaderValue::from_str(&value).expect("secrets are of letters, digits, '-' and '_'");
            value.set_sensitive(true);
            request = request.header(name, value);
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
