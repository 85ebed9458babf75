use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use convene_lifecycle::MemberRequest;
use serde::{Deserialize, Deserializer, de::Error};
use utoipa::ToSchema;

use super::member::{MemberBody, request_for_member};
use crate::{
    api::{
        body::{Body, Field, Fields, JsonBody, Limits, Whole},
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

/// How long a member will be down.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Downtime {
    /// From now on: 1 s to 30 days.
    #[schema(value_type = u32, minimum = 1, maximum = 2592000, example = 1800)]
    for_seconds: Seconds,
}

impl Body for Downtime {
    fn check(fields: &mut Fields<'_>) {
        fields.required::<Seconds>("for_seconds");
    }
}

/// 30 days.
const LONGEST: u32 = 30 * 24 * 3600;

#[derive(Clone, Copy, Debug)]
struct Seconds(u32);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = Whole::deserialize(deserializer)?.0;
        if (1..=LONGEST).contains(&seconds) { Ok(Self(seconds)) } else { Err(D::Error::custom("is out of range")) }
    }
}

impl Field for Seconds {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number of seconds from 1 to {LONGEST}").into()
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
    let lasts = Duration::from_secs(downtime.for_seconds.0.into());
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
