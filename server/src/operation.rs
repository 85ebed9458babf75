use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use crate::{app::App, stale, v2};

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
    params(("verbose" = Option<String>, Query, description = "List the checks, and for how long one has failed.")),
    responses(
        (status = 200, description = "The server is ready.", body = String, content_type = "text/plain"),
        (status = 503, description = "The server is not ready; the body gives the reason.", body = String, content_type = "text/plain")
    )
)]
pub async fn readyz(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let is_verbose =
        uri.query().is_some_and(|query| query.split('&').any(|field| field.split('=').next() == Some("verbose")));
    if is_verbose { list_checks(&app).await } else { ready(State(app), "ok\n").await }
}

/// Lists the checks as etcd does (`server/etcdserver/api/etcdhttp/health.go:newReadyzHandler`).
async fn list_checks(app: &App) -> Response {
    // Not a failure, but nobody should have to find it out.
    let exposed = "[!]auth off: everybody who reaches this server can administer all clusters\n";
    let exposed = if app.access.is_exposed { exposed } else { "" };
    match app.registry.probe().await {
        Ok(()) => format!("{exposed}[+]database ok\nok\n").into_response(),
        Err(unavailable) => {
            let down = app.registry.database_down_for().map_or_else(String::new, |down| {
                let seconds = stale::seconds(down);
                format!(
                    " It has been down for {seconds} s. Plain reads are still answered from memory; their data may be \
                     even older."
                )
            });
            (StatusCode::SERVICE_UNAVAILABLE, format!("[-]database failed: {unavailable}.{down}\n")).into_response()
        }
    }
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
    "ok\n"
}

/// Keeps search engines away from tokens.
pub async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /"
}

/// Reports a version as etcd does (`etcdserver/api/etcdhttp/base.go:serveVersion`): some client libraries read it before
/// anything else. The version is that of the last etcd with both discovery protocols.
pub async fn version() -> Response {
    const VERSION: &str = "3.6.0";
    let versions = serde_json::json!({
        "etcdserver": VERSION,
        "etcdcluster": VERSION,
        "convene": env!("CARGO_PKG_VERSION"),
    });
    let versions = versions.to_string();
    ([(header::CONTENT_TYPE, "application/json")], versions).into_response()
}

/// Responds to an unknown path. A path that looks like a discovery URL is refused with what is wrong with it.
pub async fn not_found(uri: Uri) -> Response {
    match v2::misplaced(uri.path()) {
        Some(refusal) => refusal.into_response(),
        None => plain_error(StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
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
