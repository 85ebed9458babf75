use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use convene_lifecycle::Cluster;

use crate::{
    api::{
        etag::IfMatch,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// Deletes a cluster
///
/// Running etcd nodes keep running. If members had registered, the token can never be used again.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{token}",
    tag = "clusters",
    params(TokenPath, IfMatch),
    responses((status = 204, description = "The cluster is deleted."), CommonProblems, ClusterProblems, PreconditionProblems)
)]
pub async fn delete_cluster(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.ok_or_else(Problem::no_such_cluster)?;
        if_match.check(cluster.revision)?;
        Ok::<_, Problem>(cluster.delete(at))
    };
    app.registry.update(&token, decide).await??;
    tracing::info!(cluster = %token, "cluster deleted");
    Ok(StatusCode::NO_CONTENT)
}
