use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::app::App;

/// Reports whether the server is ready, in the format of discovery.etcd.io.
pub async fn health(state: State<Arc<App>>) -> Response {
    ready(state, "OK").await
}

/// Reports whether the server is ready
///
/// The server is ready while it can write to its database.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "The server is ready.", body = String, content_type = "text/plain"),
        (status = 503, description = "The server is not ready; the body gives the reason.", body = String, content_type = "text/plain")
    )
)]
pub async fn readyz(state: State<Arc<App>>) -> Response {
    ready(state, "ok").await
}

/// Reports that the process is alive
///
/// If this fails, restart the server.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operation",
    responses((status = 200, description = "The process is alive.", body = String, content_type = "text/plain"))
)]
pub async fn livez() -> &'static str {
    "ok"
}

/// Keeps search engines away from tokens.
pub async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /"
}

/// Responds to an unknown path.
pub async fn not_found() -> impl IntoResponse {
    plain_error(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An error as plain text. The text may quote the request, so `nosniff` stops browsers from rendering it as HTML, as
/// Go's `http.Error` does.
pub fn plain_error(status: StatusCode, sentence: impl IntoResponse) -> impl IntoResponse {
    (status, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], sentence)
}

async fn ready(State(app): State<Arc<App>>, yes: &'static str) -> Response {
    match app.registry.probe().await {
        Ok(()) => yes.into_response(),
        Err(unavailable) => (StatusCode::SERVICE_UNAVAILABLE, format!("{unavailable}\n")).into_response(),
    }
}
