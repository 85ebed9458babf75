use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, service::Service};
use tokio::sync::Notify;
use tonic::Status;
use tower::ServiceExt;

use super::{
    body::{CountedBody, CountedRequest},
    budget::{Account, TooMuchQueued},
    client::{ClientAddress, ClientCertificate},
    limits::Limits,
    resets::ConnectionResets,
    resting::{RestingPlace, Rests, is_last, may_rest},
    stream::progress,
    tally::Excess,
};
use crate::{operation::plain_error, v3::is_grpc};

/// How much a header counts besides its text, about what it takes in memory.
const HEADER_OVERHEAD: usize = 64;

/// Answers the requests of one connection.
#[derive(Clone)]
pub struct Answerer {
    pub router: Router,
    pub limits: Arc<Limits>,
    pub account: Arc<Account>,
    pub peer: ClientAddress,
    pub certificate: Option<ClientCertificate>,
    pub first: Arc<FirstRequest>,
    pub resets: Arc<ConnectionResets>,
    pub resting: Arc<RestingPlace>,
    /// Why only the paths of health checks are served.
    pub overload: Option<Excess>,
}

impl Service<Request<Incoming>> for Answerer {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.first.came();
        let answerer = self.clone();
        Box::pin(async move { Ok(answerer.answer(request).await) })
    }
}

impl Answerer {
    /// Whether the connection may bring more than one request.
    pub fn may_stay(&self) -> bool {
        self.overload.is_none()
    }

    async fn answer(self, request: Request<Incoming>) -> Response<CountedBody> {
        // A client that resets what it asks for costs it nothing to ask.
        let unanswered = (request.version() == Version::HTTP_2).then(|| self.resets.unanswered());
        if unanswered.is_some() {
            // A reset that came with the request is noticed now, before anything is done for it.
            tokio::task::yield_now().await;
        }
        let is_grpc = is_grpc(request.headers());
        let may_rest = self.may_stay() && may_rest(&request);
        let is_last = is_last(request.headers());
        let answer = self.route(request).await;
        let answer = CountedBody::of(answer, &self.account, progress())
            .or_else(|TooMuchQueued| CountedBody::of(too_much_queued(is_grpc), &self.account, progress()));
        unanswered.into_iter().for_each(super::resets::Unanswered::end);
        // It is small, so no budget refuses it.
        let answer = answer.unwrap_or_else(|TooMuchQueued| unreachable!("a small answer is always charged"));
        if may_rest && answer.extensions().get::<Rests>().is_some() {
            return self.resting.leave(answer, is_last).await;
        }
        answer
    }

    async fn route(&self, mut request: Request<Incoming>) -> Response {
        let is_grpc = is_grpc(request.headers());
        if !matches!(request.uri().path(), "/livez" | "/readyz") {
            if let Some(excess) = self.overload {
                return self.too_many_connections(excess, is_grpc);
            }
            if self.account.must_read_first() {
                return too_much_queued(is_grpc);
            }
        }
        let Ok(charge) = self.account.charge(size(&request)) else { return too_much_queued(is_grpc) };
        let client = match self.limits.proxies.client(self.peer, request.headers()) {
            Ok(client) => client,
            Err(contradiction) => {
                return plain_error(StatusCode::BAD_REQUEST, format!("{contradiction}\n")).into_response();
            }
        };
        let extensions = request.extensions_mut();
        extensions.insert(client);
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }
        let request = request.map(|body| Body::new(CountedRequest::new(body, charge)));
        self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    fn too_many_connections(&self, excess: Excess, is_grpc: bool) -> Response {
        let limit = self.limits.connections.limit(excess);
        let (status, sentence) = match excess {
            Excess::OfAddress => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "this address has {limit} open connections, the maximum (--max-connections-per-address); close some"
                ),
            ),
            Excess::OfAll => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{limit} connections are open, the maximum (--max-connections); try again later"),
            ),
        };
        refused(status, sentence, is_grpc)
    }
}

fn too_much_queued(is_grpc: bool) -> Response {
    let sentence = "too many bytes wait for this client to read them, or for all clients (--max-queued-per-connection, \
                    --max-queued); read the answers, then try again";
    refused(StatusCode::SERVICE_UNAVAILABLE, sentence.to_owned(), is_grpc)
}

fn refused(status: StatusCode, sentence: String, is_grpc: bool) -> Response {
    if is_grpc {
        return Status::resource_exhausted(sentence).into_http::<Body>().into_response();
    }
    let mut response = plain_error(status, format!("{sentence}\n")).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// How many bytes the head of a request takes.
fn size(request: &Request<Incoming>) -> usize {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    uri + headers_size(request.headers())
}

fn headers_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

/// Whether a connection has brought a request. One that never does must not stay: before the first request, no time-out
/// of the HTTP library covers all cases.
#[derive(Debug)]
pub struct FirstRequest {
    since: Instant,
    has_come: AtomicBool,
    came: Notify,
}

impl Default for FirstRequest {
    fn default() -> Self {
        Self { since: Instant::now(), has_come: AtomicBool::new(false), came: Notify::new() }
    }
}

impl FirstRequest {
    fn came(&self) {
        if !self.has_come.swap(true, Relaxed) {
            self.came.notify_one();
        }
    }

    /// Returns if none has come this long after the connection began, and never otherwise.
    pub async fn is_missing(&self, limit: Duration) {
        let left = limit.saturating_sub(self.since.elapsed());
        if self.has_come.load(Relaxed) || tokio::time::timeout(left, self.came.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }
}
