use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{any, get},
};

use crate::{
    access::{enforce, enforce_grpc},
    access_log::Access,
    api,
    app::App,
    browsers::Guard,
    connection::ClientAddress,
    home, metrics, operation,
    rates::refuse_too_fast,
    refusal::Asked,
    v2, v3,
};

/// Every URL and every gRPC method of the server. A path whose first segment is not
/// [reserved](convene_lifecycle::NewClusterToken::RESERVED) begins with a token.
pub fn router(app: Arc<App>) -> Router {
    let grpc = v3::router(&app).layer(middleware::from_fn_with_state(app.clone(), check_grpc));
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
        .layer(middleware::from_fn_with_state(app.clone(), check))
        .with_state(app);
    // gRPC requests are split off before routing: a route would add its `Allow` header to the response.
    Router::new().fallback_service(urls).layer(middleware::from_fn_with_state(grpc, v3::answer_grpc))
}

/// What happens to a request before its handler and to the response after it, in one layer: each layer of the router copies all
/// layers below it for each request.
async fn check(State(app): State<Arc<App>>, client: ClientAddress, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let access = Access::begin(client, &parts);
    let checked = access.request.clone().scope(async {
        if let Some(refused) = refuse_too_fast(&app, client, &parts) {
            return refused;
        }
        let (asked, guard) = (Asked::of(&parts), Guard::of(&app, &parts));
        let response = match guard.refuse(&app, &parts) {
            Some(refused) => refused,
            None => {
                let mut response = match enforce(&app, &mut parts).await {
                    Some(refused) => refused,
                    None => next.run(Request::from_parts(parts, body)).await,
                };
                guard.protect(&mut response);
                response
            }
        };
        asked.log_refusal(&app, &response);
        response
    });
    let response = checked.await;
    access.end(&app, response)
}

/// The same for a gRPC call, whose refusals its client sees in its status.
async fn check_grpc(State(app): State<Arc<App>>, client: ClientAddress, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let access = Access::begin(client, &parts);
    let checked = access.request.clone().scope(async {
        if let Some(refused) = refuse_too_fast(&app, client, &parts) {
            return refused;
        }
        let guard = Guard::of(&app, &parts);
        if let Some(refused) = guard.refuse(&app, &parts) {
            return refused;
        }
        let mut response = match enforce_grpc(&app, &mut parts).await {
            Some(refused) => refused,
            None => next.run(Request::from_parts(parts, body)).await,
        };
        guard.protect(&mut response);
        response
    });
    let response = checked.await;
    access.end(&app, response)
}
