use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use convene_lifecycle::ClusterSize;

use super::{error::V2Error, form::Form};
use crate::{access::Caller, app::App, draw_token::draw_token};

/// Answers `/new`: creates a cluster and returns its discovery URL. No cache may keep the answer: who gets it a second time
/// joins the first one's cluster.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    form: Result<Form, V2Error>,
) -> Response {
    let size = match form.and_then(|form| size(&app, &form)) {
        Ok(size) => size,
        Err(error) => return error.into_text_response(),
    };
    let token = draw_token();
    let settings = match app.new_clusters(&caller).admit(&token, size) {
        Ok(settings) => settings,
        Err(refused) => return V2Error::from(refused).into_text_response(),
    };
    match app.registry.create(token.clone(), &caller.actor, settings).await {
        Ok(_) => {
            tracing::info!(cluster = %*token, %size, "cluster created");
            let url = format!("{}/{}", app.url_as_asked(&uri, &headers), token.as_str());
            ([NO_STORE], url).into_response()
        }
        Err(error) => V2Error::from(error).into_text_response(),
    }
}

/// Answers `HEAD`, which creates nothing.
pub async fn show(State(app): State<Arc<App>>, form: Result<Form, V2Error>) -> Response {
    match form.and_then(|form| size(&app, &form)) {
        Ok(_) => ([NO_STORE], String::new()).into_response(),
        Err(error) => error.into_text_response(),
    }
}

/// Answers `OPTIONS`, which creates nothing.
pub async fn preflight() -> impl IntoResponse {
    (StatusCode::OK, [NO_STORE, (header::ALLOW, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")])
}

const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

fn size(app: &App, form: &Form) -> Result<ClusterSize, V2Error> {
    match form.get("size") {
        None | Some("") => Ok(ClusterSize::DEFAULT.min(app.max_cluster_size)),
        Some(text) => ClusterSize::parse(text, app.max_cluster_size).map_err(V2Error::invalid_field),
    }
}
