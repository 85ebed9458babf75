//! The part of etcd's v3 API over HTTP with JSON (its gRPC gateway) that prepares and inspects discovery: for machines that
//! have curl and no etcdctl. Each request goes the way of the gRPC method, so both faces answer the same.

mod json;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use convene_etcd::wire::kv_server::Kv as _;
use serde::Serialize;
use tonic::{Code, Status};

use super::{
    auth,
    error::{SUPPORTED_KEYS, V3Error},
    headers::Headers,
    kv::Kv,
};
use crate::{
    access::{AuthMode, Caller, Denial},
    app::App,
    refusal::Refusal,
    request_body::read_body,
    stale::STALE,
};

/// The end of messages about other paths.
const PATHS: &str = "of etcd's JSON API this server has POST /v3/kv/put, /v3/kv/range and /v3/kv/deleterange; etcdctl and other \
                     gRPC clients can also watch and make transactions";

/// The URLs of the gateway.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v3/kv/put", post(put).options(preflight).fallback(not_post))
        .route("/v3/kv/range", post(range).options(preflight).fallback(not_post))
        .route("/v3/kv/deleterange", post(delete_range).options(preflight).fallback(not_post))
        .route("/v3/auth/authenticate", post(authenticate).fallback(not_post))
        .route("/v3", any(not_there))
        .route("/v3/{*rest}", any(not_there))
        .route("/v3alpha/kv/{method}", any(older_path))
        .route("/v3beta/kv/{method}", any(older_path))
}

async fn put(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response, GatewayError> {
    let request = json::put(&body(request).await?)?;
    let answer = kv(&app).put(called_by(caller, request)).await?;
    Ok(answered(&json::PutAnswer::from(answer.into_inner())))
}

async fn range(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response, GatewayError> {
    let request = json::range(&body(request).await?)?;
    let answer = kv(&app).range(called_by(caller, request)).await?;
    let stale = answer.metadata().clone().into_headers().remove(STALE);
    let mut response = answered(&json::RangeAnswer::from(answer.into_inner()));
    if let Some(stale) = stale {
        response.headers_mut().insert(STALE, stale);
    }
    Ok(response)
}

async fn delete_range(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response, GatewayError> {
    let request = json::delete_range(&body(request).await?)?;
    let answer = kv(&app).delete_range(called_by(caller, request)).await?;
    Ok(answered(&json::DeleteAnswer::from(answer.into_inner())))
}

/// Answers a login as the gRPC method does.
async fn authenticate(State(app): State<Arc<App>>, request: Request) -> Result<Response, GatewayError> {
    let password = match app.access.mode {
        AuthMode::On => json::password(&body(request).await?)?,
        AuthMode::Off => String::new(),
    };
    let token = auth::log_in(&app, password).await.map_err(Status::from)?;
    Ok(answered(&json::AuthenticateAnswer { token }))
}

fn called_by<T>(caller: Caller, request: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(request);
    request.extensions_mut().insert(caller);
    request
}

async fn preflight() -> StatusCode {
    StatusCode::OK
}

async fn not_post(method: Method, uri: Uri) -> GatewayError {
    let path = uri.path();
    let sentence = format!(
        "{method} is not supported; send POST with JSON, for example curl -d '{{\"key\":\"BASE64\"}}' http://HOST:PORT{path}"
    );
    GatewayError::refused(Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, sentence)
}

async fn not_there(uri: Uri) -> GatewayError {
    let sentence = format!("Convene does not support {}; {PATHS}; {SUPPORTED_KEYS}", uri.path());
    GatewayError::refused(Code::NotFound, StatusCode::NOT_FOUND, sentence)
}

/// The paths of etcd up to 3.3 and 3.4.
async fn older_path(Path(method): Path<String>) -> GatewayError {
    let sentence = format!("this server has etcd's JSON API under /v3 only; send the request to /v3/kv/{method}");
    GatewayError::refused(Code::NotFound, StatusCode::NOT_FOUND, sentence)
}

fn kv(app: &Arc<App>) -> Kv {
    Kv::new(app.clone(), Headers::new(app.registry.id()))
}

async fn body(request: Request) -> Result<Vec<u8>, GatewayError> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body).await;
    body.map(Into::into).map_err(|error| GatewayError::invalid(error.to_string()))
}

fn answered(answer: &impl Serialize) -> Response {
    json_response(StatusCode::OK, answer)
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("no map has keys that are no texts");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// An error of the gateway, with the fields of etcd up to 3.5; from 3.6 on it has no `error`
/// (grpc-gateway, `runtime/errors.go:DefaultHTTPError`).
struct GatewayError {
    code: Code,
    status: StatusCode,
    message: String,
    /// The methods have logged their own refusals.
    is_logged: bool,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: i32,
    message: &'a str,
}

impl GatewayError {
    fn refused(code: Code, status: StatusCode, message: String) -> Self {
        Self { code, status, message, is_logged: false }
    }

    /// A body that is not the JSON of the request.
    fn invalid(message: String) -> Self {
        Self::refused(Code::InvalidArgument, StatusCode::BAD_REQUEST, message)
    }
}

impl From<Status> for GatewayError {
    fn from(status: Status) -> Self {
        let (code, message) = (status.code(), status.message().to_owned());
        Self { code, status: http_status(code), message, is_logged: true }
    }
}

/// The status for a code (grpc-gateway, `runtime/errors.go:HTTPStatusFromCode`).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The response to a request that the check of access has refused.
pub fn denied(denial: Denial) -> Response {
    let status = Status::from(V3Error::from(denial.clone()));
    let mut response = GatewayError::from(status).into_response();
    denial.add_headers(&mut response);
    Refusal::new(denial.to_string()).attach(&mut response);
    response
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: &self.message, code: self.code as i32, message: &self.message };
        let mut response = json_response(self.status, &body);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST, OPTIONS"));
        }
        if !self.is_logged {
            Refusal::new(self.message).attach(&mut response);
        }
        response
    }
}
