//! The check-in, which is the only call that nodes make.

mod instruction;
mod presented;
mod reason;
mod report;
mod status;

pub use report::StateWord;
pub use status::{EtcdStatusBody, ReachabilityBody};

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::{Instruction, Task};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::json_response,
    body::JsonBody,
    path::TokenPath,
    problem::{
        Problem,
        documented::{BodyProblems, ClusterProblems, CommonProblems, NodeProblems},
    },
    query::{Query, parameters},
};
use crate::{
    access::Caller,
    app::App,
    registry::{CheckIn, TurnedAway},
};
use instruction::InstructionBody;
use presented::PresentedHeaders;
use report::ReportBody;

pub use report::ObservedName;

/// The routes for nodes.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(check_in))
}

parameters! {
    /// The options of a check-in.
    pub struct CheckInParameters {
        /// Whether to return the instruction without changing anything. A dry run does not count as a check-in.
        dry_run: bool = false,
    }
}

/// Checks in a node
///
/// A node sends a report, follows the instruction in the response, and checks in again. Repeated, lost and late check-ins do
/// no harm. While etcd runs, check-ins are the node's heartbeat.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/check-in",
    tag = "nodes",
    params(TokenPath, CheckInParameters, PresentedHeaders),
    request_body = ReportBody,
    responses(
        (status = 200, description = "The next instruction.", body = InstructionBody),
        CommonProblems,
        ClusterProblems,
        NodeProblems,
        BodyProblems
    )
)]
pub async fn check_in(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    Query(parameters): Query<CheckInParameters>,
    PresentedHeaders(presented): PresentedHeaders,
    JsonBody(report): JsonBody<ReportBody>,
) -> Result<Response, Problem> {
    let report = report.into_report();
    let node = report.name.clone();
    let check_in = CheckIn { report, presented };
    let checked_in = match parameters.dry_run {
        true => app.registry.check_in_dry(&token, &check_in).await?,
        false => app.registry.check_in(&token, &caller.actor, check_in).await?,
    };
    let checked_in = match checked_in.ok_or_else(Problem::no_such_cluster)? {
        Ok(checked_in) => checked_in,
        Err(TurnedAway { denial, is_first }) => {
            if is_first {
                tracing::warn!(cluster = %token, %node, code = denial.code(), reason = %denial, "check-in refused");
            }
            return Err(denial.into());
        }
    };
    if let Instruction { task: Task::Refuse { .. }, reason, message, .. } = &checked_in.instruction
        && !parameters.dry_run
    {
        tracing::warn!(cluster = %token, %node, code = reason.as_str(), reason = message.as_str(), "refused");
    }
    Ok(json_response(StatusCode::OK, &InstructionBody::new(&checked_in)))
}
