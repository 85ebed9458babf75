//! A client that tries again, as etcd does, and takes note of answers that nobody should get.

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

/// How long one waits before one tries again.
pub const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Patient {
    pub http: Client,
    strange: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// An answer that is not "try again".
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Whether an answer before this one got lost, so that what was asked for may have been done already.
    pub again: bool,
}

impl Patient {
    pub fn new() -> Self {
        Self { http: http::client(), strange: Arc::default(), refused: Arc::default() }
    }

    /// Asks until there is an answer.
    pub async fn ask(&self, request: impl Fn(&Client) -> RequestBuilder) -> Answer {
        let deadline = Instant::now() + LIMIT;
        let mut again = false;
        let mut last = String::new();
        loop {
            assert!(Instant::now() < deadline, "nobody answers, at last: {last}");
            match self.try_once(&request).await {
                Ok(mut answer) => {
                    answer.again = again;
                    return answer;
                }
                Err(failure) => last = failure,
            }
            again = true;
            self.take_note(&last);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_once(&self, request: impl Fn(&Client) -> RequestBuilder) -> Result<Answer, String> {
        let answer = request(&self.http).send().await.map_err(|error| error.to_string())?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(|error| error.to_string())?;
        // What has no such header is the proxy's own.
        let is_ours = headers.contains_key("x-request-id");
        if status.is_server_error() {
            if is_ours && (status != StatusCode::SERVICE_UNAVAILABLE || !headers.contains_key("retry-after")) {
                self.strange.lock().unwrap().push(format!("{status} {headers:?}: {text}"));
            }
            return Err(format!("{status}: {text}"));
        }
        Ok(Answer { status, headers, text, again: false })
    }

    /// Calls by gRPC until there is an answer.
    pub async fn call<T, F: Future<Output = Result<T, Status>>>(&self, call: impl Fn() -> F) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            match tokio::time::timeout(LIMIT, call()).await.expect("a call is answered") {
                Ok(answer) => return answer,
                Err(status) => self.note(&status),
            }
            assert!(Instant::now() < deadline, "nobody answers");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes note of a failure that is not one of a connection.
    pub fn note(&self, status: &Status) {
        self.take_note(&format!("{:?}: {}", status.code(), status.message()));
        // A stream that the proxy resets is `Internal` or `Cancelled`, one that breaks off is `Unknown`.
        let passes = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal);
        if !passes {
            self.strange.lock().unwrap().push(format!("{status:?}"));
        }
    }

    fn take_note(&self, failure: &str) {
        *self.refused.lock().unwrap().entry(failure.to_owned()).or_default() += 1;
    }

    /// Sees to it that nobody got an answer that tells of a fault. Returns what else kept somebody from an answer at
    /// once, and how often.
    pub fn was_answered_well(&self) -> BTreeMap<String, usize> {
        let strange = self.strange.lock().unwrap();
        assert!(strange.is_empty(), "{} answers, such as {}", strange.len(), strange[0]);
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
