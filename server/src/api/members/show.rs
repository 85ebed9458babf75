use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::member::{MemberBody, member_response};
use crate::{
    api::{
        path::{MemberPath, TokenPath},
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems},
        },
        query::Query,
    },
    app::App,
};

/// Shows a member
///
/// The member may be a removed one.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}/members/{member}",
    tag = "members",
    params(TokenPath, MemberPath),
    responses(
        (
            status = 200,
            description = "The member.",
            body = MemberBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems
    )
)]
pub async fn show_member(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
) -> Result<Response, Problem> {
    let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
    member_response(&app, &snapshot.cluster, &member).await
}
