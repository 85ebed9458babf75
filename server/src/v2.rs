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
    http::{HeaderName, HeaderValue, header},
    middleware::map_response_with_state,
    response::Response,
    routing::{any, get},
};

use crate::app::App;

/// Where etcd's v2 store keeps the registry, and where answers say that it is.
const REGISTRY: &str = "/_etcd/registry";

/// Where etcd's v2 keys API serves the registry.
const KEYS_REGISTRY: &str = "/v2/keys/_etcd/registry";

/// Every URL of this face.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    // What discovery.etcd.io served; it kept the size and the whole cluster from being changed.
    let discovery = Router::new()
        .route("/{token}", get(read::read).put(write::put))
        .route("/{token}/", get(read::read).put(write::put))
        .route("/{token}/{member}", get(read::read).put(write::put).delete(write::delete))
        .route("/{token}/_config/size", get(read::read));
    // What an etcd served that was somebody's private registry.
    let keys = Router::new()
        .route("/v2/keys", any(path::not_a_registry_key))
        .route("/v2/keys/{*key}", get(read::read).put(write::put).delete(write::delete));
    let v2 = discovery.merge(keys).layer(map_response_with_state(app.clone(), add_headers));
    v2.route("/new", any(new::create))
}

/// Adds what etcd and discovery.etcd.io send with every answer.
async fn add_headers(State(app): State<Arc<App>>, mut response: Response) -> Response {
    const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
    let headers = response.headers_mut();
    headers.insert(CLUSTER_ID, app.registry_id.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, content-type, authorization"));
    response
}
