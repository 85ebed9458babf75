use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use convene_lifecycle::Token;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How much of a path's segment is shown that may be a token.
const SHOWN: usize = Token::SHOWN;

/// Gives each request an ID, which its answer and its log lines carry, and logs one line for it once it is
/// answered: for a long poll, when the poll ends.
pub async fn log_access(ConnectInfo(remote): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(draw_id);
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default(), cluster = Empty);
    let method = request.method().clone();
    let path = shown_path(request.uri().path());

    let mut response = next.run(request).instrument(span.clone()).await;
    response.headers_mut().insert(REQUEST_ID, id);
    // gRPC says how a call went after its answer, or right away if there is no answer.
    let grpc_status = grpc_status(response.headers());
    let line = AccessLine { span, remote, method, path, status: response.status(), grpc_status, bytes: 0, begun };
    response.map(|body| Body::new(LoggedBody { body, line }))
}

/// Shows in a request's log lines which cluster it is about, if its path doesn't.
pub fn show_cluster(request: &Span, token: &Token) {
    request.record("cluster", tracing::field::display(token));
}

/// One line of the access log, written when it is dropped: at the end of the answer or of the connection.
struct AccessLine {
    span: Span,
    remote: SocketAddr,
    method: Method,
    path: String,
    status: StatusCode,
    grpc_status: Option<u8>,
    bytes: usize,
    begun: Instant,
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let Self { span, remote, method, path, grpc_status, bytes, .. } = &*self;
        let status = self.status.as_u16();
        let milliseconds = self.begun.elapsed().as_micros() as f64 / 1000.0;
        // A load balancer asks each second, and nobody wants to read that all is well.
        if self.status.is_success() && matches!(path.as_str(), "/livez" | "/readyz" | "/health") {
            tracing::debug!(parent: span, %remote, %method, %path, status, grpc_status, bytes, milliseconds, "answered");
        } else {
            tracing::info!(parent: span, %remote, %method, %path, status, grpc_status, bytes, milliseconds, "answered");
        }
    }
}

/// A body that carries its access line to its end.
struct LoggedBody {
    body: Body,
    line: AccessLine,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.line.bytes += frame.data_ref().map_or(0, Bytes::len);
            self.line.grpc_status = frame.trailers_ref().and_then(grpc_status).or(self.line.grpc_status);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The number that gRPC ends a call with; 0 is success.
fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The client's own ID for the request, if it is one that can stand in a log line.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(REQUEST_ID)?;
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=64).contains(&given.len()) && given.as_bytes().iter().all(harmless);
    fits.then(|| given.clone())
}

fn draw_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let id = Uuid::now_v7().simple().encode_lower(&mut text);
    HeaderValue::from_str(id).expect("hexadecimal digits are a header value")
}

/// The most characters of a path that are looked at: no path of ours is longer.
const SHOWN_PATH: usize = 256;

/// A path with every segment cut short that could be a token.
fn shown_path(path: &str) -> String {
    const WORDS: [&str; 34] = [
        "v2",
        "keys",
        "_etcd",
        "registry",
        "_config",
        "size",
        "new",
        "health",
        "livez",
        "readyz",
        "robots.txt",
        "v1",
        "clusters",
        "members",
        "check-in",
        "events",
        "pause",
        "resume",
        "reset",
        "eviction",
        "downtime",
        "docs",
        "openapi.yaml",
        "etcdserverpb.KV",
        "DeleteRange",
        "etcdserverpb.Watch",
        "etcdserverpb.Auth",
        "Authenticate",
        "etcdserverpb.Maintenance",
        "etcdserverpb.Cluster",
        "MemberList",
        "MemberRemove",
        "MemberUpdate",
        "MemberPromote",
    ];
    let path = path.char_indices().nth(SHOWN_PATH).map_or(path, |(end, _)| &path[..end]);
    let mut shown = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            shown.push('/');
        }
        match segment.char_indices().nth(SHOWN) {
            Some((end, _)) if !WORDS.contains(&segment) => {
                shown.push_str(&segment[..end]);
                shown.push('…');
            }
            _ => shown.push_str(segment),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_shows_a_whole_token() {
        for (path, shown) in [
            ("/", "/"),
            ("/new", "/new"),
            ("/robots.txt", "/robots.txt"),
            ("/6c007a14875d53d9", "/6c007a…"),
            ("/6c007a14875d53d9/_config/size", "/6c007a…/_config/size"),
            ("/v2/keys/_etcd/registry/6c007a14875d53d9/5e3c", "/v2/keys/_etcd/registry/6c007a…/5e3c"),
            ("/v1/clusters/6c007a14875d53d9", "/v1/clusters/6c007a…"),
            ("/v1/clusters/6c007a14875d53d9/members/5e3c/check-in", "/v1/clusters/6c007a…/members/5e3c/check-in"),
            ("/v1/clusters/6c007a14875d53d9/events", "/v1/clusters/6c007a…/events"),
            ("/openapi.yaml", "/openapi.yaml"),
            ("/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/DeleteRange"),
            ("/etcdserverpb.Watch/Watch", "/etcdserverpb.Watch/Watch"),
            ("/etcdserverpb.Lease/LeaseGrant", "/etcdse…/LeaseG…"),
            ("/any/where/6c007a14875d53d9", "/any/where/6c007a…"),
            ("/ääääääää", "/ääääää…"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
    }
}
