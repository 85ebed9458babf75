use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{any, get},
};

use crate::{
    access::{enforce, enforce_grpc},
    access_log::log_access,
    api,
    app::App,
    browsers::guard,
    home, metrics, operation,
    rates::limit,
    refusal::log_refusals,
    v2, v3,
};

/// Every URL and every gRPC method of the server. A path whose first segment is not
/// [reserved](convene_lifecycle::NewClusterToken::RESERVED) begins with a token.
pub fn router(app: Arc<App>) -> Router {
    let grpc = v3::router(&app)
        .layer(middleware::from_fn_with_state(app.clone(), enforce_grpc))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn_with_state(app.clone(), limit))
        .layer(middleware::from_fn_with_state(app.clone(), log_access));
    let urls = Router::new()
        .route("/", get(home::home))
        // discovery.etcd.io took any method for these two.
        .route("/health", any(operation::health))
        .route("/robots.txt", any(operation::robots))
        .route("/livez", get(operation::livez))
        .route("/readyz", get(operation::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(api::router())
        .merge(v2::router(&app))
        .merge(v3::gateway())
        .fallback(operation::not_found)
        .layer(middleware::from_fn_with_state(app.clone(), enforce))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn_with_state(app.clone(), log_refusals))
        .layer(middleware::from_fn_with_state(app.clone(), limit))
        .layer(middleware::from_fn_with_state(app.clone(), log_access))
        .with_state(app);
    // gRPC requests are split off before routing: a route would add its `Allow` header to the response.
    Router::new().fallback_service(urls).layer(middleware::from_fn_with_state(grpc, v3::answer_grpc))
}
