use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::cluster::{ClusterBody, cluster_response};
use crate::{
    access::Caller,
    api::{
        asked_url::{AskedUrl, ShowToken},
        etag::{IfNoneMatch, etag},
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems},
        },
        query::Query,
    },
    app::App,
};

/// Shows a cluster
///
/// With `If-None-Match`, the response is 304 if the cluster has not changed.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}",
    tag = "clusters",
    params(TokenPath, ShowToken, IfNoneMatch),
    responses(
        (
            status = 200,
            description = "The cluster.",
            body = ClusterBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        (
            status = 304,
            description = "The cluster has not changed.",
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems
    )
)]
pub async fn show_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    Query(tokens): Query<ShowToken>,
    if_none_match: IfNoneMatch,
) -> Result<Response, Problem> {
    let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
    let cluster = &snapshot.cluster;
    if if_none_match.has(cluster.revision) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(cluster.revision))]).into_response());
    }
    let asked = asked.with_tokens_if(tokens.is_asked(), caller);
    Ok(cluster_response(&asked, StatusCode::OK, cluster))
}
