use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::MemberRequest;

use super::member::{MemberBody, request_for_member};
use crate::{
    api::{
        etag::IfMatch,
        path::{MemberPath, TokenPath},
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, ConflictProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// Evicts a member
///
/// Convene removes the member as soon as that is safe for the quorum, one member at a time. Afterwards the node is a spare
/// and does not rejoin by itself.
#[utoipa::path(
    put,
    path = "/v1/clusters/{token}/members/{member}/eviction",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    responses(
        (
            status = 200,
            description = "The member, which will be removed.",
            body = MemberBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        ConflictProblems,
        PreconditionProblems
    )
)]
pub async fn evict_member(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    request_for_member(&app, &token, member, if_match, |_| MemberRequest::Evict).await
}

/// Withdraws an eviction
///
/// If the member was removed already, its node may rejoin. A node that holds the ticket for the removal may still remove the
/// member: see `ticket` of the cluster.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{token}/members/{member}/eviction",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    responses(
        (
            status = 200,
            description = "The member, which will not be removed.",
            body = MemberBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        PreconditionProblems
    )
)]
pub async fn readmit_member(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    request_for_member(&app, &token, member, if_match, |_| MemberRequest::WithdrawEviction).await
}
