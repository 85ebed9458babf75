use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::MemberRequest;

use super::member::{MemberBody, request_for_member};
use crate::{
    access::Caller,
    api::{
        body::{JsonBody, Seconds, body},
        etag::IfMatch,
        path::{MemberPath, TokenPath},
        problem::{
            Problem,
            documented::{BodyProblems, ClusterProblems, CommonProblems, ConflictProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

body! {
    /// The length of a downtime.
    #[body(name = "Downtime", unknown_fields = Refused)]
    pub struct Downtime {
        /// How long the downtime lasts from now on: 1 second to 30 days.
        #[example = 1800]
        for_seconds: Seconds<1, { 30 * 24 * 3600 }>,
    }
}

/// Announces a downtime of a member
///
/// Until the downtime ends, the member does not count as dead, however long it is silent.
#[utoipa::path(
    put,
    path = "/v1/clusters/{cluster}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    request_body = Downtime,
    responses(
        (
            status = 200,
            description = "The member with its downtime.",
            body = MemberBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        ConflictProblems,
        PreconditionProblems
    )
)]
pub async fn announce_downtime(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
    JsonBody(downtime): JsonBody<Downtime>,
) -> Result<Response, Problem> {
    let Seconds(lasts) = downtime.for_seconds;
    request_for_member(&app, &caller, &token, member, if_match, move |now| {
        MemberRequest::AnnounceDowntime(now.after(lasts))
    })
    .await
}

/// Ends an announced downtime
///
/// The member can count as dead again.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    responses(
        (
            status = 200,
            description = "The member without a downtime.",
            body = MemberBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        ConflictProblems,
        PreconditionProblems
    )
)]
pub async fn end_downtime(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    request_for_member(&app, &caller, &token, member, if_match, |_| MemberRequest::EndDowntime).await
}
