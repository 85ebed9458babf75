use std::{borrow::Cow, str::FromStr, sync::Arc};

use axum::{extract::State, response::Response};
use convene_lifecycle::{Announcer, MemberRequest};
use utoipa::openapi::{RefOr, Schema};

use super::member::{MemberBody, request_for_member};
use crate::{
    access::{Caller, Principal},
    api::{
        body::{JsonBody, Limits, Scalar, Seconds, body, text},
        etag::IfMatch,
        path::{MemberPath, TokenPath},
        problem::{
            Problem,
            documented::{BodyProblems, ClusterProblems, CommonProblems, ConflictProblems, PreconditionProblems},
        },
        query::{Query, parameters},
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

parameters! {
    /// The options of requests about a downtime.
    pub struct DowntimeParameters {
        /// Who makes the request: `node` is the member's own node. Otherwise a request counts as an administrator's, unless it has
        /// a node's credential.
        by: Option<ByNode>,
    }
}

/// The word for the member's own node.
#[derive(Clone, Copy, Debug)]
struct ByNode;

impl FromStr for ByNode {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        if word == Announcer::Node.as_str() { Ok(Self) } else { Err(()) }
    }
}

impl Scalar for ByNode {
    fn expected(_: &Limits) -> Cow<'static, str> {
        Announcer::Node.as_str().into()
    }

    fn schema() -> RefOr<Schema> {
        text().enum_values(Some([Announcer::Node.as_str()])).into()
    }
}

impl DowntimeParameters {
    fn announcer(&self, caller: &Caller) -> Announcer {
        match (&caller.principal, self.by) {
            (Principal::Node { .. }, _) | (_, Some(ByNode)) => Announcer::Node,
            (_, None) => Announcer::Administrator,
        }
    }
}

/// Announces a downtime of a member
///
/// Until the downtime ends, the member does not count as dead, however long it is silent. A downtime that an administrator announced
/// lasts until its time is over. One that the member's own node announced also ends when the member's etcd answers again after it
/// did not. An administrator's downtime replaces any other one. If a node announces a downtime while one of an administrator lasts,
/// nothing changes, and the response shows the administrator's.
#[utoipa::path(
    put,
    path = "/v1/clusters/{cluster}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, DowntimeParameters, IfMatch),
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
    Query(parameters): Query<DowntimeParameters>,
    if_match: IfMatch,
    JsonBody(downtime): JsonBody<Downtime>,
) -> Result<Response, Problem> {
    let Seconds(lasts) = downtime.for_seconds;
    let by = parameters.announcer(&caller);
    request_for_member(&app, &caller, &token, member, if_match, move |now| {
        MemberRequest::AnnounceDowntime(convene_lifecycle::Downtime { until: now.after(lasts), by })
    })
    .await
}

/// Ends an announced downtime
///
/// The member can count as dead again. If its own node makes the request, but an administrator announced the downtime, nothing
/// changes, and the response shows the administrator's downtime.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}/members/{member}/downtime",
    tag = "members",
    params(TokenPath, MemberPath, DowntimeParameters, IfMatch),
    responses(
        (
            status = 200,
            description = "The member without a downtime, or with that of an administrator.",
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
    Query(parameters): Query<DowntimeParameters>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let by = parameters.announcer(&caller);
    request_for_member(&app, &caller, &token, member, if_match, move |_| MemberRequest::EndDowntime(by)).await
}
