use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::join_token::JoinTokenBody;
use crate::{
    api::{
        etag::with_etag,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems},
        },
        query::Query,
    },
    app::App,
};

/// The join tokens of a cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct JoinTokens {
    /// The join tokens, oldest first. Those that ended more than 30 days ago are not listed.
    join_tokens: Vec<JoinTokenBody>,
}

/// Lists the join tokens of a cluster
///
/// The list shows which nodes each of them has let in.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}/join-tokens",
    tag = "join tokens",
    params(TokenPath),
    responses(
        (
            status = 200,
            description = "The join tokens, without their secrets.",
            body = JoinTokens,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems
    )
)]
pub async fn list_join_tokens(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    _: Query<()>,
) -> Result<Response, Problem> {
    let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
    let now = app.registry.now();
    let join_tokens = &snapshot.cluster.admission.join_tokens;
    let join_tokens = join_tokens.iter().map(|token| JoinTokenBody::new(token, now)).collect();
    Ok(with_etag(&snapshot.cluster, &JoinTokens { join_tokens }))
}
