use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, response::Response};
use convene_lifecycle::{Cluster, UnixMillis};
use serde::Deserialize;
use utoipa::openapi::{RefOr, Schema};

use super::decisive_change::{ChangedClusterBody, DryRun, change_or_preview};
use crate::{
    access::Caller,
    api::{
        asked_url::AskedUrl,
        body::{JsonBody, Limits, Scalar, body, text},
        etag::IfMatch,
        path::TokenPath,
        problem::{
            Problem, Violation,
            documented::{BodyProblems, ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

body! {
    /// The confirmation of a reset.
    #[body(name = "Reset", unknown_fields = Refused)]
    pub struct Reset {
        /// The cluster's ID or token again, so that no cluster is reset by mistake.
        #[example = "6c007a14875d53d9bf0ef5a6fc0257c8"]
        token: RepeatedToken,
    }
}

/// The cluster's ID or token again.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct RepeatedToken(String);

const EXPECTED: &str = "the ID or the token of the cluster again, to confirm the reset";

impl Scalar for RepeatedToken {
    fn expected(_: &Limits) -> Cow<'static, str> {
        EXPECTED.into()
    }

    fn schema() -> RefOr<Schema> {
        text().into()
    }
}

/// Resets a cluster
///
/// Begins a new epoch: nodes form a new etcd cluster without data. This also ends a hold. Use it for a cluster that has
/// lost its quorum for good, if you restore the data by other means or don't need it.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/reset",
    tag = "clusters",
    params(TokenPath, DryRun, IfMatch),
    request_body = Reset,
    responses(
        (status = 200, description = "The cluster, which is forming again.", body = ChangedClusterBody),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        PreconditionProblems
    )
)]
pub async fn reset_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    Query(dry_run): Query<DryRun>,
    if_match: IfMatch,
    JsonBody(reset): JsonBody<Reset>,
) -> Result<Response, Problem> {
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if reset.token.0 != cluster.token.as_str() && reset.token.0 != cluster.id.to_string() {
            return Err(Problem::invalid("body", vec![Violation::new("token", format!("must be {EXPECTED}"))]));
        }
        if_match.check(cluster.revision)?;
        Ok(cluster.reset(at))
    };
    change_or_preview(&app, &caller, &asked, &token, dry_run, decide).await
}
