use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::{Cluster, UnixMillis};
use serde::Deserialize;
use utoipa::openapi::{RefOr, Schema};

use super::{
    change::administer,
    cluster::{ClusterBody, cluster_response},
};
use crate::{
    api::{
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
        /// The cluster's token again, so that no cluster is reset by mistake.
        #[example = "6c007a14875d53d9bf0ef5a6fc0257c8"]
        token: RepeatedToken,
    }
}

/// The token of the path again.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct RepeatedToken(String);

const EXPECTED: &str = "the token of the path again, to confirm the reset";

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
/// A new epoch begins: nodes form a new etcd cluster, without data, and are told to set the data of earlier
/// epochs aside. For a cluster that has lost its quorum for good and is restored by other means, or whose data is not
/// needed.
#[utoipa::path(
    post,
    path = "/v1/clusters/{token}/reset",
    tag = "clusters",
    params(TokenPath, IfMatch),
    request_body = Reset,
    responses(
        (status = 200, description = "It forms anew.", body = ClusterBody),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        PreconditionProblems
    )
)]
pub async fn reset_cluster(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    _: Query<()>,
    if_match: IfMatch,
    JsonBody(reset): JsonBody<Reset>,
) -> Result<Response, Problem> {
    if reset.token.0 != token.as_str() {
        return Err(Problem::invalid("body", vec![Violation::new("token", format!("must be {EXPECTED}"))]));
    }
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.reset(at))
    };
    let cluster = administer(&app, &token, decide).await?;
    Ok(cluster_response(&app, StatusCode::OK, &cluster))
}
