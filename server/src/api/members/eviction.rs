use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::MemberRequest;

use serde::Serialize;
use utoipa::ToSchema;

use super::member::{MemberBody, apply_request, request_for_member};
use crate::{
    access::Caller,
    api::{
        etag::{IfMatch, with_etag},
        path::{MemberPath, TokenPath},
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, ConflictProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// An evicted member, and who can remove it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EvictedMember {
    #[serde(flatten)]
    member: MemberBody,
    /// The names of the nodes that check in and could remove the member now. If there are none, the member stays until a
    /// node checks in.
    #[schema(example = json!(["infra3"]))]
    carried_out_by: Vec<String>,
}

/// Evicts a member
///
/// Convene removes the member as soon as that is safe for the quorum, one member at a time. Afterwards the node is a spare
/// and does not rejoin by itself.
#[utoipa::path(
    put,
    path = "/v1/clusters/{cluster}/members/{member}/eviction",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    responses(
        (
            status = 200,
            description = "The member, which will be removed.",
            body = EvictedMember,
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
    caller: Caller,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let cluster = apply_request(&app, &caller, &token, &member, if_match, |_| MemberRequest::Evict).await?;
    let evicted = cluster.record.iter().find(|other| other.key == member).ok_or_else(Problem::no_such_member)?;
    let liveness = app.registry.liveness_of(&token).await?;
    let carried_out_by = app.registry.who_can_change(&cluster).await?;
    Ok(with_etag(&cluster, &EvictedMember { member: MemberBody::new(evicted, &liveness), carried_out_by }))
}

/// Withdraws an eviction
///
/// If the member was removed already, its node may rejoin. A node that holds the ticket for the removal may still remove the
/// member: see `ticket` of the cluster.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}/members/{member}/eviction",
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
    caller: Caller,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    request_for_member(&app, &caller, &token, member, if_match, |_| MemberRequest::WithdrawEviction).await
}
