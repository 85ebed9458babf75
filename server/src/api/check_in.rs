//! The check-in, which is the only call that nodes make.

mod held;
mod instruction;
mod presented;
mod reason;
mod report;
mod status;

pub use report::StateWord;
pub use status::{EtcdStatusBody, ReachabilityBody};

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::{Instruction, Task};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::json_response,
    body::{JsonBody, Seconds},
    path::TokenPath,
    problem::{
        Problem,
        documented::{BodyProblems, ClusterProblems, CommonProblems, NodeProblems},
    },
    query::{Query, parameters},
};
use crate::{
    access::Caller,
    access_log::HeldFor,
    app::App,
    registry::{CheckIn, TurnedAway},
};
use held::{Ended, HeldCheckIn, LONGEST, Waiter, is_idle};
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
        /// How many seconds the server may hold the response if the node has nothing to do; it holds none for longer than 30. It responds
        /// sooner if the instruction may have changed, with `wait_seconds` 0.
        wait: Seconds<0, 3600> = Seconds(Duration::ZERO),
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
    waiter: Waiter,
    TokenPath(token): TokenPath,
    Query(parameters): Query<CheckInParameters>,
    PresentedHeaders(presented): PresentedHeaders,
    JsonBody(report): JsonBody<ReportBody>,
) -> Result<Response, Problem> {
    let report = report.into_report();
    let node = report.name.clone();
    let check_in = CheckIn { report, presented };
    let Seconds(wait) = parameters.wait;
    let held = (!wait.is_zero() && !parameters.dry_run)
        .then(|| HeldCheckIn::new(&app, waiter, &token, check_in.clone()))
        .flatten();
    let is_refused_a_wait = !wait.is_zero() && held.is_none();
    let checked_in = match parameters.dry_run {
        true => app.registry.check_in_dry(&token, &check_in).await?,
        false => app.registry.check_in(&token, &caller.actor, check_in).await?,
    };
    let checked_in = match checked_in.ok_or_else(Problem::no_such_cluster)? {
        Ok(checked_in) => checked_in,
        Err(TurnedAway { denial, is_first }) => {
            if is_first {
                tracing::warn!(cluster = %token, %node, code = denial.code().as_str(), reason = %denial, "check-in refused");
            }
            return Err(denial.into());
        }
    };
    if let Instruction { task: Task::Refuse { .. }, reason, message, .. } = &checked_in.instruction
        && !parameters.dry_run
    {
        tracing::warn!(cluster = %token, %node, code = reason.as_str(), reason = message.as_str(), "refused");
    }
    let may_wait = is_idle(&checked_in.instruction) && !parameters.dry_run;
    let (ended, held_for) = match held.filter(|_| may_wait) {
        Some(held) => Box::pin(held.wait(&app, &token, &checked_in, wait)).await?,
        None if is_refused_a_wait => (Ended::Early, Duration::ZERO),
        None => (Ended::Unchanged, Duration::ZERO),
    };
    let body = InstructionBody::new(&checked_in);
    let body = match ended {
        Ended::Changed => body.with_wait(Duration::ZERO),
        Ended::Unchanged if may_wait => body.with_wait(LONGEST.min(app.wait_timeout)),
        Ended::Unchanged | Ended::Early => body,
    };
    let mut response = json_response(StatusCode::OK, &body);
    response.extensions_mut().insert(HeldFor(held_for));
    Ok(response)
}
