use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use convene_lifecycle::Token;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

use crate::{app::App, connection::ClientAddress, v3::is_grpc};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Gives each request an ID for its response and its log lines, counts it, and logs one line when the response is complete.
/// Must wrap the routes, because the matched route shows which part of a path may be a token.
pub async fn log_access(State(app): State<Arc<App>>, remote: ClientAddress, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(draw_id);
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default(), cluster = Empty);
    let method = request.method().clone();
    let route: Option<MatchedPath> = request.extensions().get().cloned();
    let path = shown_path(request.uri().path(), route.as_ref());

    let mut response = next.run(request).instrument(span.clone()).await;
    response.headers_mut().insert(REQUEST_ID, id);
    // A gRPC call without a message has its status in the headers, any other in the trailers.
    let grpc_status = grpc_status(response.headers());
    app.metrics.requests.record(&method, route.as_ref(), response.status(), started.elapsed());
    let grpc_call = is_grpc(response.headers()).then(|| GrpcCall { app, route });
    let status = response.status();
    let line = AccessLine { span, remote, method, path, status, grpc_status, grpc_call, bytes: 0, started };
    response.map(|body| Body::new(LoggedBody { body, line }))
}

/// Names the cluster in the log lines of a request whose path does not.
pub fn show_cluster(request: &Span, token: &Token) {
    request.record("cluster", tracing::field::display(token));
}

/// One line of the access log. It is logged when it is dropped, at the end of the response or of the connection.
struct AccessLine {
    span: Span,
    remote: ClientAddress,
    method: Method,
    path: String,
    status: StatusCode,
    grpc_status: Option<u8>,
    grpc_call: Option<GrpcCall>,
    bytes: usize,
    started: Instant,
}

/// A gRPC call, which is counted when it ends: most calls have their status in the trailers.
struct GrpcCall {
    app: Arc<App>,
    route: Option<MatchedPath>,
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let Self { span, remote, method, path, grpc_status, bytes, .. } = &*self;
        if let Some(GrpcCall { app, route }) = &self.grpc_call {
            app.metrics.requests.record_grpc(route.as_ref(), *grpc_status);
        }
        let status = self.status.as_u16();
        let milliseconds = self.started.elapsed().as_micros() as f64 / 1000.0;
        // Load balancers and Prometheus ask all the time, and only a failure is worth a line.
        if self.status.is_success() && matches!(path.as_str(), "/livez" | "/readyz" | "/health" | "/metrics") {
            tracing::debug!(parent: span, %remote, %method, %path, status, grpc_status, bytes, milliseconds, "answered");
        } else {
            tracing::info!(parent: span, %remote, %method, %path, status, grpc_status, bytes, milliseconds, "answered");
        }
    }
}

/// A response body that ends its access line.
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

/// The status code of a gRPC call; 0 is success.
fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The client's own ID for the request, if it is safe in a log line.
fn given_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(REQUEST_ID)?;
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=64).contains(&given.len()) && given.as_bytes().iter().all(is_safe);
    fits.then(|| given.clone())
}

fn draw_id() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let id = Uuid::now_v7().simple().encode_lower(&mut text);
    HeaderValue::from_str(id).expect("hexadecimal digits are a header value")
}

/// How many characters of a path are logged. No route has longer paths.
const SHOWN_PATH: usize = 256;

/// A path for the log. A segment that is fixed text of the route is logged whole; any other segment may be a token, so
/// only its first characters are logged.
fn shown_path(path: &str, route: Option<&MatchedPath>) -> String {
    let path = path.char_indices().nth(SHOWN_PATH).map_or(path, |(end, _)| &path[..end]);
    let mut expected = route.map_or("", MatchedPath::as_str).split('/');
    let mut shown = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        let is_route = expected.next() == Some(segment);
        if at > 0 {
            shown.push('/');
        }
        if is_route || segment.is_empty() {
            shown.push_str(segment);
        } else {
            shown.push_str(&shown_segment(segment));
        }
    }
    shown
}

/// What logs show of a text that may be a token.
pub fn shown_segment(segment: &str) -> String {
    let most = Token::shown(segment.chars().count());
    segment.chars().take(most).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, routing::get};
    use tower::ServiceExt;

    use super::*;

    /// How a path is shown by a router with these routes.
    async fn shown(routes: &[&str], path: &str) -> String {
        let show = async |request: Request| shown_path(request.uri().path(), request.extensions().get());
        let router = routes.iter().fold(Router::new(), |router, route| router.route(route, get(show))).fallback(show);
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        String::from_utf8(to_bytes(response.into_body(), 1 << 10).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn no_path_shows_a_whole_token() {
        let routes = [
            "/",
            "/readyz",
            "/{token}",
            "/{token}/_config/size",
            "/v2/keys/{*key}",
            "/v1/clusters/{cluster}/members/{member}/downtime",
            "/etcdserverpb.KV/DeleteRange",
        ];
        for (path, expected) in [
            ("/", "/"),
            ("/readyz", "/readyz"),
            ("/6c007a14875d53d9", "/6c007a…"),
            ("/secret", "/sec…"),
            ("/x", "/…"),
            ("/6c007a14875d53d9/_config/size", "/6c007a…/_config/size"),
            ("/v2/keys/_etcd/registry/6c007a14875d53d9", "/v2/keys/_e…/regi…/6c007a…"),
            ("/v1/clusters/6c007a14875d53d9/members/5e3c/downtime", "/v1/clusters/6c007a…/members/5e…/downtime"),
            ("/v1/clusters/clusters/members/downtime/downtime", "/v1/clusters/clus…/members/down…/downtime"),
            ("/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/DeleteRange"),
            ("/etcdserverpb.Lease/LeaseGrant", "/etcdse…/Lease…"),
            ("/any/where/6c007a14875d53d9", "/a…/wh…/6c007a…"),
            ("/%C3%A4%C3%A4%C3%A4", "/%C3%A4…"),
        ] {
            assert_eq!(shown(&routes, path).await, expected);
        }
    }
}
