//! The v2 discovery protocol, as discovery.etcd.io and etcd's v2 keys API speak it to etcd 2.x to 3.6.
//!
//! A cluster looks like a directory `/_etcd/registry/TOKEN` of etcd's v2 store, with one key for each
//! member and the hidden `_config/size`. The answers follow etcd's `etcdserver/api/v2http/client.go` and
//! `v2store/store.go`; docs/v2-discovery.md lists where they differ on purpose.

mod answer;
mod condition;
mod error;
mod form;
mod new;
mod path;
mod read;
mod request;
mod wait;
mod write;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::map_response_with_state,
    response::{IntoResponse, Response},
    routing::{any, get},
};

use crate::{app::App, operation::plain_error};

/// Where etcd's v2 store keeps the registry, and the prefix of the keys in answers.
const REGISTRY: &str = "/_etcd/registry";

/// Where etcd's v2 keys API serves the registry.
const KEYS_REGISTRY: &str = "/v2/keys/_etcd/registry";

/// The URLs of v2 discovery.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    // The URLs of discovery.etcd.io, which protected the size and the whole cluster from changes.
    let discovery = Router::new()
        .route("/{token}", get(read::read).put(write::put))
        .route("/{token}/", get(read::read).put(write::put))
        .route("/{token}/{member}", get(read::read).put(write::put).delete(write::delete))
        .route("/{token}/_config/size", get(read::read));
    // The keys API of a private etcd that serves as a registry. The access log shows the words of these routes whole.
    let not_a_key = any(path::not_a_registry_key).options(preflight);
    let key = get(read::read).put(write::put).delete(write::delete).options(preflight);
    let keys = Router::new()
        .route("/v2/keys", not_a_key.clone())
        .route("/v2/keys/", not_a_key)
        .route("/v2/keys/_etcd/registry/{token}", key.clone())
        .route("/v2/keys/_etcd/registry/{token}/{member}", key.clone())
        .route("/v2/keys/_etcd/registry/{token}/_config/size", key.clone())
        .route("/v2/keys/{*key}", key)
        .method_not_allowed_fallback(method_not_allowed);
    let v2 = discovery.merge(keys).layer(map_response_with_state(app.clone(), add_headers));
    v2.route("/new", any(new::create))
}

/// Answers a browser that asks whether a page may use the keys API (`embed/serve.go:corsHandler`).
async fn preflight() -> StatusCode {
    StatusCode::OK
}

/// Answers for the methods that the keys API lacks (`v2http/http.go:allowMethod`).
async fn method_not_allowed() -> impl IntoResponse {
    plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

/// Adds what etcd and discovery.etcd.io send with every answer, and to what the registry answered its name.
async fn add_headers(State(app): State<Arc<App>>, mut response: Response) -> Response {
    const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
    let headers = response.headers_mut();
    if headers.contains_key(answer::ETCD_INDEX) {
        headers.insert(CLUSTER_ID, app.registry_id.clone());
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, content-type, authorization"));
    response
}
