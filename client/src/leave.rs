//! `convene leave`: removes this node's member from the cluster.

use std::time::Duration;

use convene_lifecycle::Identity;

use crate::{
    cli::{LeaveArgs, LogFormat},
    command_error::CommandError,
    data_dir::Evidence,
    deadline::{Deadline, DeadlineExceeded},
    local_etcd, membership_change,
    node::Node,
    registry::{State, Task},
    session::{CheckInOptions, RETRY_INTERVAL, Session},
};

/// Runs the command.
pub async fn run(arguments: &LeaveArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let session = Session::new(&arguments.node, log_format)?;
    leave(&session, Deadline::after(Some(arguments.timeout))).await
}

/// Checks in until this node is no longer a member.
pub async fn leave(session: &Session, deadline: Deadline) -> Result<(), CommandError> {
    while let Some(after) = check_in_and_execute(session, deadline).await? {
        if deadline.sleep(after).await.is_err() {
            return Err(session.timeout_error());
        }
    }
    Ok(())
}

/// Returns the time until the next check-in, or `None` once this node is no longer a member.
async fn check_in_and_execute(session: &Session, deadline: Deadline) -> Result<Option<Duration>, CommandError> {
    let progress = &session.progress;
    let state = state(session).await?;
    if let State::Unreadable { found } = &state {
        return Err(CommandError::Refused(format!(
            "cannot tell which member this node is, because its data is unreadable ({found}); to remove the member, run \
             `convene member evict {}`",
            session.node.name
        )));
    }
    let options = CheckInOptions { leaving: true, ..CheckInOptions::default() };
    let check_in = deadline.limit(session.check_in_or_wait(&state, options)).await;
    let Some(response) = check_in.map_err(|DeadlineExceeded| session.timeout_error())?? else {
        return Ok(Some(RETRY_INTERVAL));
    };
    let instruction = &response.instruction;
    match &instruction.task {
        Task::StandBy | Task::ArchiveData => {
            let data = session.node.data_path.display();
            progress.step("done", &format!("{}; the data stays in {data}", instruction.message));
            Ok(None)
        }
        Task::Refuse { remedy } => Err(CommandError::refused(instruction, remedy)),
        _ if instruction.is_change() => Ok(Some(membership_change::apply(session, &response).await)),
        _ => {
            progress.wait(&instruction.name, &instruction.reason, &instruction.message);
            Ok(Some(instruction.check_in_after.clamp(RETRY_INTERVAL, 2 * RETRY_INTERVAL)))
        }
    }
}

/// The state of the data directory, and whether etcd runs on it.
///
/// An etcd that answers at this node's address does not show that: it may be that of a machine from which this one was copied.
async fn state(session: &Session) -> Result<State, CommandError> {
    let Node { data, .. } = &session.node;
    let runs_as = session.runs_as();
    if let Some(own) = runs_as
        && local_etcd::role(session, own).await.is_some()
    {
        return Ok(State::running(own));
    }
    // The member may be removed by now, and its data may be at another path.
    if let Some(own) = runs_as
        && session.member_of_data() != Some(own)
    {
        return Ok(State::stopped(own, Evidence { last_index: None, never_led: false }, None));
    }
    let state = session.node.state()?;
    let State::Stopped { member_id, cluster_id, .. } = state else { return Ok(state) };
    let identity = Identity { member: member_id, cluster: cluster_id };
    let is_running = data.is_in_use()? && local_etcd::role(session, identity).await.is_some();
    Ok(if is_running { State::running(identity) } else { state })
}
