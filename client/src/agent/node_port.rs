//! The node's own HTTP port, for load balancers, monitoring and people. docs/reference/node-port.md describes it.
//!
//! Everything that it answers is in the agent's [`Status`]: no request makes the agent ask an etcd or the registry, and none
//! changes anything.

mod health;
mod metrics;
mod process;
mod role;
mod status_json;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{error::Elapsed, sleep, timeout},
};

use super::status::Status;
use crate::command_error::CommandError;
use role::Role;

/// How many connections are served at once. A further one ends the oldest: whoever opens connections and asks nothing keeps nobody out.
const MOST_CONNECTIONS: usize = 64;

/// How long a connection may last. It has one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes the head of a request may have. The answer is 431 beyond that.
const MAX_HEAD: usize = 16 << 10;

/// The pause after a connection could not be accepted, as without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `HOST:PORT`.
pub async fn bind(address: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        CommandError::Local(format!(
            "cannot listen on {address}, the address of the node's own port: {error}; choose another one with --node-listen HOST:PORT, turn \
             the port off with --node-listen off, or end the process that has this one"
        ))
    })
}

/// Answers requests for as long as the agent lives.
pub async fn serve(listener: TcpListener, status: watch::Receiver<Status>) {
    let node = Arc::new(Node { status, started: SystemTime::now() });
    let mut connections: VecDeque<AbortOnDrop> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        connections.retain(|connection| !connection.0.is_finished());
        if connections.len() == MOST_CONNECTIONS {
            connections.pop_front();
        }
        let served = timeout(CONNECTION_TIMEOUT, serve_connection(stream, node.clone()));
        connections.push_back(AbortOnDrop(tokio::spawn(served)));
    }
}

/// A connection that ends when it is forgotten.
struct AbortOnDrop(JoinHandle<Result<(), Elapsed>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers one request. A failure concerns its client only, who sees it.
async fn serve_connection(stream: TcpStream, node: Arc<Node>) {
    let service = service_fn(move |request: Request<_>| ready(Ok::<_, Infallible>(node.respond(&request))));
    let connection =
        http1::Builder::new().keep_alive(false).max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

/// What requests are answered from.
struct Node {
    status: watch::Receiver<Status>,
    /// When the agent began to serve this port.
    started: SystemTime,
}

/// An answer to `GET`.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Answer {
    /// Lines of text for people, of which each text from outside is one line.
    fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into() }
    }

    fn ok_if(is_so: bool, body: String) -> Self {
        Self::text(if is_so { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
    }
}

impl Node {
    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let Answer { status, content_type, body } = match *request.method() {
            Method::GET | Method::HEAD => self.get(request),
            // HAProxy checks with it by default, and looks at the status code alone.
            Method::OPTIONS => Answer { body: String::new(), ..self.get(request) },
            _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "the methods are GET, HEAD and OPTIONS\n"),
        };
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if request.method() == Method::OPTIONS || status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        }
        response
    }

    fn get<B>(&self, request: &Request<B>) -> Answer {
        let status = &*self.status.borrow();
        let path = request.uri().path();
        let (page, below) = match path.trim_start_matches('/').split_once('/') {
            Some((page, below)) => (page, Some(below)),
            None => (path.trim_start_matches('/'), None),
        };
        let query = request.uri().query().unwrap_or_default();
        match (page, below) {
            ("livez", check) => health::answer(health::LIVE, check, query, status),
            ("readyz", check) => health::answer(health::READY, check, query, status),
            ("leader", None) => Role::Leader.answer(status),
            ("voter", None) => Role::Voter.answer(status),
            ("learner", None) => Role::Learner.answer(status),
            ("spare", None) => Role::Spare.answer(status),
            ("status", None) => status_json::answer(status),
            ("metrics", None) => metrics::answer(status, self.started),
            _ => Answer::text(
                StatusCode::NOT_FOUND,
                "this port has /livez, /readyz, /leader, /voter, /learner, /spare, /status and /metrics\n",
            ),
        }
    }
}
