use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::MemberRequest;

use super::member::{MemberBody, request_for_member};
use crate::{
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

/// Announces that a member will be down
///
/// Until then it does not count as dead, however long nobody hears of it.
#[utoipa::path(
    put,
    path = "/v1/clusters/{token}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    request_body = Downtime,
    responses(
        (
            status = 200,
            description = "It is announced.",
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
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
    JsonBody(downtime): JsonBody<Downtime>,
) -> Result<Response, Problem> {
    let Seconds(lasts) = downtime.for_seconds;
    request_for_member(&app, &token, member, if_match, move |now| MemberRequest::AnnounceDowntime(now.after(lasts)))
        .await
}

/// Ends an announced downtime
///
/// From now on the member counts as dead again once nobody has heard of it for long enough.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{token}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, IfMatch),
    responses(
        (
            status = 200,
            description = "It is over.",
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
    TokenPath(token): TokenPath,
    MemberPath(member): MemberPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    request_for_member(&app, &token, member, if_match, |_| MemberRequest::EndDowntime).await
}
