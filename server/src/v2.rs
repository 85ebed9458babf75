//! The v2 discovery protocol, as discovery.etcd.io and etcd's v2 keys API speak it to etcd 2.x to 3.6.
//!
//! A cluster looks like a directory `/_etcd/registry/TOKEN` of etcd's v2 store, with one key for each
//! member and the hidden `_config/size`. The same directory is in every other [`Folder`]. The answers follow etcd's `etcdserver/api/v2http/client.go` and
//! `v2store/store.go`; docs/reference/v2.md lists where they differ on purpose.

mod answer;
mod condition;
mod error;
mod folder;
mod form;
mod new;
mod path;
mod read;
mod request;
mod spelling;
mod wait;
mod write;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderName, Method, StatusCode},
    middleware::map_response_with_state,
    response::{IntoResponse, Response},
    routing::{any, get},
};

use crate::{
    access::Denial,
    app::App,
    operation::{plain_error, version},
    refusal::Refusal,
};

use error::{Code, V2Error};

pub use folder::{Folder, Folders};
pub use path::{misplaced, target};

/// The answer to a request that the check of access has refused: that of an etcd with authentication
/// (`etcdserver/api/v2http/client_auth.go:writeNoAuth`), with what to do as the cause.
pub fn denied(denial: Denial) -> Response {
    let code = if denial.status() == StatusCode::SERVICE_UNAVAILABLE { Code::Internal } else { Code::Unauthorized };
    let mut response = V2Error::new(code, denial.to_string()).with_status(denial.status()).into_response();
    denial.add_headers(&mut response);
    response
}

/// The URLs of v2 discovery.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    // The URLs of discovery.etcd.io, which protected the size and the whole cluster from changes.
    let discovery = Router::new()
        .route("/{token}", get(read::read).put(write::put))
        .route("/{token}/", get(read::read).put(write::put))
        .route("/{token}/{member}", get(read::read).put(write::put).delete(write::delete))
        .route("/{token}/_config/size", get(read::read))
        .method_not_allowed_fallback(discovery_method_not_allowed);
    // The keys API of a private etcd that serves as a registry. The access log shows the words of these routes whole.
    let not_a_cluster = any(path::not_a_cluster).options(preflight);
    let key = get(read::read).put(write::put).delete(write::delete).options(preflight);
    let mut keys = Router::new().route("/v2/keys", not_a_cluster.clone()).route("/v2/keys/", not_a_cluster);
    // The route of the root would be in conflict with the one for all other keys, which serves it.
    for folder in app.v2_folders.iter().map(Folder::key).filter(|folder| !folder.is_empty()) {
        keys = keys
            .route(&format!("/v2/keys{folder}/{{token}}"), key.clone())
            .route(&format!("/v2/keys{folder}/{{token}}/{{member}}"), key.clone())
            .route(&format!("/v2/keys{folder}/{{token}}/_config/size"), key.clone());
    }
    let keys = keys.route("/v2/keys/{*key}", key).method_not_allowed_fallback(method_not_allowed);
    let rest = Router::new()
        .route("/version", get(version))
        .route("/v2", any(path::not_keys))
        .route("/v2/{*rest}", any(path::not_keys));
    let v2 = discovery.merge(keys).merge(rest).layer(map_response_with_state(app.clone(), add_headers));
    v2.route("/new", any(new::create).head(new::show).options(new::preflight))
}

/// Answers a browser that asks whether a page may use the keys API (`embed/serve.go:corsHandler`).
async fn preflight() -> StatusCode {
    StatusCode::OK
}

/// Answers for the methods that the keys API lacks (`v2http/http.go:allowMethod`).
async fn method_not_allowed(method: Method) -> Response {
    match method {
        Method::POST => post_not_allowed(),
        _ => plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response(),
    }
}

/// Answers for the methods that discovery.etcd.io lacked.
async fn discovery_method_not_allowed(method: Method) -> Response {
    match method {
        Method::POST => post_not_allowed(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// Answers `POST`, which curl sends with a form unless it is given another method.
fn post_not_allowed() -> Response {
    const SENTENCE: &str = "POST is not supported: send PUT, for example curl -X PUT -d value=3 \
                            http://HOST:PORT/v2/keys/_etcd/registry/TOKEN/_config/size to create a cluster";
    let mut response = plain_error(StatusCode::METHOD_NOT_ALLOWED, format!("{SENTENCE}\n")).into_response();
    Refusal::new(SENTENCE).attach(&mut response);
    response
}

/// Adds the registry's name to what the registry answered.
async fn add_headers(State(app): State<Arc<App>>, mut response: Response) -> Response {
    const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
    let headers = response.headers_mut();
    if headers.contains_key(answer::ETCD_INDEX) {
        headers.insert(CLUSTER_ID, app.registry_id.clone());
    }
    response
}
