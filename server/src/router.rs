use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{any, get},
};

use crate::{access_log, api, app::App, home, operation, v2, v3};

/// What paths begin with that do not begin with a token.
const WORDS: [&str; 9] = ["docs", "health", "livez", "new", "openapi.yaml", "readyz", "robots.txt", "v1", "v2"];

/// Every URL that the server answers, and gRPC beside them.
///
/// A path that begins with none of the [`WORDS`] begins with a token.
pub fn router(app: Arc<App>) -> Router {
    let grpc = v3::router(&app);
    let urls = Router::new()
        .route("/", get(home::home))
        // discovery.etcd.io took any method for these two.
        .route("/health", any(operation::health))
        .route("/robots.txt", any(operation::robots))
        .route("/livez", get(operation::livez))
        .route("/readyz", get(operation::readyz))
        .merge(api::router())
        .merge(v2::router(&app))
        .fallback(operation::not_found)
        .with_state(app);
    // What stands around all URLs is asked before any of them, so that they don't leave their marks on gRPC's answers.
    Router::new()
        .fallback_service(urls)
        .layer(middleware::from_fn_with_state(grpc, v3::answer_grpc))
        .layer(middleware::from_fn(access_log::log_access))
}

/// Whether paths that begin with this segment are not about a cluster of that name.
pub fn is_word(segment: &str) -> bool {
    WORDS.contains(&segment)
}
