use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::app::App;

/// Whether the server does its work, in discovery.etcd.io's form.
pub async fn health(state: State<Arc<App>>) -> Response {
    ready(state, "OK").await
}

/// Whether the server can take requests
///
/// It says no while its database can't be written.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "It can.", body = String, content_type = "text/plain"),
        (status = 503, description = "It can't, and says why.", body = String, content_type = "text/plain")
    )
)]
pub async fn readyz(state: State<Arc<App>>) -> Response {
    ready(state, "ok").await
}

/// Whether the process is alive
///
/// If this fails, restart it.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operation",
    responses((status = 200, description = "It is.", body = String, content_type = "text/plain"))
)]
pub async fn livez() -> &'static str {
    "ok"
}

/// Keeps search engines away from tokens.
pub async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /"
}

/// Answers for a path that is none of ours.
pub async fn not_found() -> impl IntoResponse {
    plain_error(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An error as a sentence, which no browser is to take for a page because of what is quoted in it. Go's
/// `http.Error` says so, too.
pub fn plain_error(status: StatusCode, sentence: impl IntoResponse) -> impl IntoResponse {
    (status, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], sentence)
}

async fn ready(State(app): State<Arc<App>>, yes: &'static str) -> Response {
    match app.registry.probe().await {
        Ok(()) => yes.into_response(),
        Err(unavailable) => (StatusCode::SERVICE_UNAVAILABLE, format!("{unavailable}\n")).into_response(),
    }
}
