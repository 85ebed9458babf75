//! A client that retries, as etcd does, and records responses that no client should get.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use convene_harness::http;
use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tonic::{Code, Status};

use super::LIMIT;

/// The time between two attempts.
pub const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct RetryingClient {
    pub http: Client,
    unexpected: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A response that does not ask the client to retry.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Whether an earlier attempt failed, so that the server may have executed the request already.
    pub again: bool,
}

impl RetryingClient {
    pub fn new() -> Self {
        Self { http: http::client(), unexpected: Arc::default(), refused: Arc::default() }
    }

    /// Repeats the request until there is a response.
    pub async fn ask(&self, request: impl Fn(&Client) -> RequestBuilder) -> Answer {
        let deadline = Instant::now() + LIMIT;
        let mut again = false;
        let mut last = String::new();
        loop {
            assert!(Instant::now() < deadline, "no response; last failure: {last}");
            match self.try_once(&request).await {
                Ok(mut answer) => {
                    answer.again = again;
                    return answer;
                }
                Err(failure) => last = failure,
            }
            again = true;
            self.count_failure(&last);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_once(&self, request: impl Fn(&Client) -> RequestBuilder) -> Result<Answer, String> {
        let answer = request(&self.http).send().await.map_err(|error| error.to_string())?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(|error| error.to_string())?;
        // A response without this header comes from the proxy.
        let is_ours = headers.contains_key("x-request-id");
        if status.is_server_error() {
            if is_ours && (status != StatusCode::SERVICE_UNAVAILABLE || !headers.contains_key("retry-after")) {
                self.unexpected.lock().unwrap().push(format!("{status} {headers:?}: {text}"));
            }
            return Err(format!("{status}: {text}"));
        }
        Ok(Answer { status, headers, text, again: false })
    }

    /// Repeats the gRPC call until there is a response.
    pub async fn call<T, F: Future<Output = Result<T, Status>>>(&self, call: impl Fn() -> F) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            match tokio::time::timeout(LIMIT, call()).await.expect("a call is answered") {
                Ok(answer) => return answer,
                Err(status) => self.note(&status),
            }
            assert!(Instant::now() < deadline, "no response");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records a failure that is not one of a connection.
    pub fn note(&self, status: &Status) {
        self.count_failure(&format!("{:?}: {}", status.code(), status.message()));
        // A stream that the proxy resets is `Internal` or `Cancelled`, one that breaks off is `Unknown`.
        let passes = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal);
        if !passes {
            self.unexpected.lock().unwrap().push(format!("{status:?}"));
        }
    }

    fn count_failure(&self, failure: &str) {
        *self.refused.lock().unwrap().entry(failure.to_owned()).or_default() += 1;
    }

    /// Asserts that no response shows a fault. Returns the failures that made clients retry, and how often each
    /// occurred.
    pub fn assert_no_unexpected_errors(&self) -> BTreeMap<String, usize> {
        let unexpected = self.unexpected.lock().unwrap();
        assert!(unexpected.is_empty(), "{} answers, such as {}", unexpected.len(), unexpected[0]);
        self.refused.lock().unwrap().clone()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// The cluster's index.
    pub fn index(&self) -> u64 {
        self.headers["x-etcd-index"].to_str().unwrap().parse().unwrap()
    }
}
