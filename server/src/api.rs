//! The administrators' API, `/v1`: JSON that is described by openapi/convene.yaml.
//!
//! An endpoint is a function in a file of its own, whose arguments read and check one part of the request
//! each ([`path`], [`query`], [`etag`], [`body`]) and which answers or fails with a [`problem`]. Its
//! `#[utoipa::path]` is what [`openapi`] describes and where it is routed.

mod answer;
mod asked_url;
mod body;
mod check_in;
mod clusters;
mod declared_json;
mod docs;
mod etag;
mod events;
mod join_tokens;
mod members;
mod nodes;
mod openapi;
mod path;
mod problem;
mod query;
mod time;
mod tokens;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};

use crate::{access::Denial, app::App};

pub use problem::{Kind, Problem};

/// Every URL of this face.
pub fn router() -> Router<Arc<App>> {
    let (endpoints, description) = openapi::endpoints().split_for_parts();
    endpoints
        .method_not_allowed_fallback(problem::no_such_method)
        .route("/v1", any(problem::no_such_path))
        .route("/v1/", any(problem::no_such_path))
        .route("/v1/{*path}", any(problem::no_such_path))
        .layer(middleware::map_response(keep_out_of_caches))
        .merge(docs::router(&description))
}

/// The description of this face.
#[cfg(test)]
pub fn description() -> utoipa::openapi::OpenApi {
    openapi::endpoints().split_for_parts().1
}

/// The response to a request that the check of access has refused.
pub fn denied(denial: Denial) -> Response {
    let mut response = Problem::from(denial.clone()).into_response();
    denial.add_headers(&mut response);
    response
}

/// Tokens are in the answers, and whoever has a token can register members: no cache on the way may keep it.
async fn keep_out_of_caches(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
