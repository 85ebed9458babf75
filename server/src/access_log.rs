use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::MatchedPath,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts},
    response::Response,
};
use convene_lifecycle::Token;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tracing::Level;
use uuid::Uuid;

use crate::{
    app::App,
    connection::ClientAddress,
    current_request::CurrentRequest,
    logging::{ACCESS_LOG, AccessLine, log_access as log},
    v3::is_grpc,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// For how long a response waited for something to happen. The metrics leave that out, as they leave out how long a long poll waits.
#[derive(Clone, Copy, Debug)]
pub struct HeldFor(pub Duration);

/// A request that is being answered, for the access log and the metrics.
pub struct Access {
    started: Instant,
    /// Names the request in the log lines of its handler.
    pub request: CurrentRequest,
    id: HeaderValue,
    remote: ClientAddress,
    method: Method,
    route: Option<MatchedPath>,
    path: String,
}

impl Access {
    /// Gives a request an ID for its response and its log lines. The matched route shows which part of a path may be a token, so only
    /// requests with a route may come here.
    pub fn begin(remote: ClientAddress, request: &Parts) -> Self {
        let id = given_id(&request.headers).unwrap_or_else(draw_id);
        let route: Option<MatchedPath> = request.extensions.get().cloned();
        Self {
            started: Instant::now(),
            request: CurrentRequest::new(id.clone()),
            id,
            remote,
            method: request.method.clone(),
            path: shown_path(request.uri.path(), route.as_ref()),
            route,
        }
    }

    /// Counts the request, and logs one line when the response is complete.
    pub fn end(self, app: &Arc<App>, mut response: Response) -> Response {
        let Self { started, request, id, remote, method, route, path } = self;
        response.headers_mut().insert(REQUEST_ID, id);
        // A gRPC call without a message has its status in the headers, any other in the trailers.
        let grpc_status = grpc_status(response.headers());
        let held = response.extensions().get().map_or(Duration::ZERO, |HeldFor(held)| *held);
        app.metrics.requests.record(&method, route.as_ref(), response.status(), started.elapsed().saturating_sub(held));
        let grpc_call = is_grpc(response.headers()).then(|| GrpcCall { app: app.clone(), route });
        let line = AccessLine {
            level: level(&path, response.status()),
            request,
            remote,
            method,
            path,
            status: response.status(),
            grpc_status,
            bytes: 0,
            took: Duration::ZERO,
        };
        response.map(|body| Body::new(LoggedBody { body, started, line: Some(line), grpc_call }))
    }
}

/// Load balancers and Prometheus ask all the time, and only a failure is worth a line.
fn level(path: &str, status: StatusCode) -> Level {
    match path {
        "/livez" | "/readyz" | "/health" | "/metrics" if status.is_success() => Level::DEBUG,
        _ => Level::INFO,
    }
}

/// A gRPC call, which is counted when it ends: most calls have their status in the trailers.
struct GrpcCall {
    app: Arc<App>,
    route: Option<MatchedPath>,
}

/// A response body that logs the request when it is dropped, at the end of the response or of the connection.
struct LoggedBody {
    body: Body,
    started: Instant,
    line: Option<AccessLine>,
    grpc_call: Option<GrpcCall>,
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        if let Some(GrpcCall { app, route }) = &self.grpc_call {
            app.metrics.requests.record_grpc(route.as_ref(), line.grpc_status);
        }
        let is_wanted = match line.level {
            Level::DEBUG => tracing::enabled!(target: ACCESS_LOG, Level::DEBUG),
            _ => tracing::enabled!(target: ACCESS_LOG, Level::INFO),
        };
        if is_wanted {
            log(AccessLine { took: self.started.elapsed(), ..line });
        }
    }
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
            let line = self.line.as_mut().expect("the line is there until the body is dropped");
            line.bytes += frame.data_ref().map_or(0, Bytes::len);
            line.grpc_status = frame.trailers_ref().and_then(grpc_status).or(line.grpc_status);
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
    // Copied: the value is a part of the memory of the whole head, which a line that waits to be written must not keep.
    fits.then(|| HeaderValue::from_bytes(given.as_bytes()).ok()).flatten()
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
    let mut shown = String::with_capacity(path.len() + '…'.len_utf8());
    for (at, segment) in path.split('/').enumerate() {
        let is_route = expected.next() == Some(segment);
        if at > 0 {
            shown.push('/');
        }
        if is_route || segment.is_empty() {
            shown.push_str(segment);
        } else {
            shown.extend(shown_characters(segment));
        }
    }
    shown
}

/// What logs show of a text that may be a token.
pub fn shown_segment(segment: &str) -> String {
    shown_characters(segment).collect()
}

fn shown_characters(segment: &str) -> impl Iterator<Item = char> {
    let most = Token::shown(segment.chars().count());
    segment.chars().take(most).chain(['…'])
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, extract::Request, routing::get};
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
