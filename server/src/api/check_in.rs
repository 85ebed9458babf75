//! The one call that nodes make.

mod instruction;
mod report;

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::json_response,
    body::JsonBody,
    path::TokenPath,
    problem::{
        Problem,
        documented::{BodyProblems, ClusterProblems, CommonProblems},
    },
    query::{Pairs, Parameters, Query},
};
use crate::app::App;
use instruction::InstructionBody;
use report::ReportBody;

/// Every URL of nodes.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(check_in))
}

/// How to check in.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CheckInParameters {
    /// Whether only to say what the node would be told; nothing changes, and the node does not count as heard of.
    #[param(value_type = Option<bool>, default = false)]
    dry_run: bool,
}

impl Parameters for CheckInParameters {
    fn read(pairs: &mut Pairs) -> Self {
        Self { dry_run: pairs.optional("dry_run", "true or false").unwrap_or(false) }
    }
}

/// Tells a node what to do next
///
/// A node sends what it has and sees, does what it is told, looks again, and checks in again. A check-in that is
/// repeated, lost or late does no harm. While its etcd runs, the same call says that the node is alive.
#[utoipa::path(
    post,
    path = "/v1/clusters/{token}/check-in",
    tag = "nodes",
    params(TokenPath, CheckInParameters),
    request_body = ReportBody,
    responses(
        (status = 200, description = "This is next.", body = InstructionBody),
        CommonProblems,
        ClusterProblems,
        BodyProblems
    )
)]
pub async fn check_in(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    Query(parameters): Query<CheckInParameters>,
    JsonBody(report): JsonBody<ReportBody>,
) -> Result<Response, Problem> {
    let report = report.into_report();
    let checked_in = match parameters.dry_run {
        true => app.registry.check_in_dry(&token, &report).await?,
        false => app.registry.check_in(&token, report).await?,
    };
    let checked_in = checked_in.ok_or_else(Problem::no_such_cluster)?;
    Ok(json_response(StatusCode::OK, &InstructionBody::new(&checked_in)))
}
