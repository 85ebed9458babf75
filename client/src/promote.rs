//! `convene promote`: waits until this node's member has caught up, and makes it a voter.

use std::time::Duration;

use convene_lifecycle::{Identity, Role};

use crate::{
    cli::{LogFormat, PromoteArgs},
    command_error::CommandError,
    data_dir::Contents,
    deadline::{Deadline, DeadlineExceeded},
    local_etcd, membership_change,
    registry::{State, Task},
    session::{CheckInOptions, RETRY_INTERVAL, Session},
};

/// Runs the command.
pub async fn run(arguments: &PromoteArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let session = Session::new(&arguments.node, log_format)?;
    let new_deadline = || Deadline::after(Some(arguments.timeout));
    let mut deadline = new_deadline();
    loop {
        let after = match advance(&session, deadline).await? {
            Stage::Voter => return Ok(()),
            Stage::NotRunning => RETRY_INTERVAL,
            Stage::Learner { check_in_after } => {
                if arguments.as_long_as_etcd_runs {
                    deadline = new_deadline();
                }
                check_in_after
            }
        };
        if deadline.sleep(after).await.is_err() {
            return Err(session.timeout_error());
        }
    }
}

/// How far this node's member is on its way to being a voter.
enum Stage {
    /// etcd has not started, or does not answer.
    NotRunning,
    /// etcd runs as a learner.
    Learner { check_in_after: Duration },
    /// etcd runs as a voter: nothing is left to do.
    Voter,
}

async fn advance(session: &Session, deadline: Deadline) -> Result<Stage, CommandError> {
    let progress = &session.progress;
    let Contents::Member(identity) = session.node.data.read()? else {
        let path = session.node.data_path.display();
        let message = format!("no member's data in {path} yet; waiting for etcd to start");
        progress.wait("wait", "not_started", &message);
        return Ok(Stage::NotRunning);
    };
    match local_etcd::role(session, identity).await {
        None => {
            progress.wait("wait", "not_started", "this node's etcd does not answer yet");
            Ok(Stage::NotRunning)
        }
        Some(Role::Learner) => {
            let check_in_after = check_in(session, identity, deadline).await?;
            Ok(Stage::Learner { check_in_after })
        }
        Some(Role::Voter) => {
            report_voter(session, identity).await;
            progress.step("done", &format!("member {} is a voter", identity.member));
            Ok(Stage::Voter)
        }
    }
}

/// Reports the promotion at once, so that the registry can release the ticket. The command succeeds without it, because
/// the member is a voter already. If the answer is a membership change, it is applied: the registry has given this node
/// the ticket for it.
async fn report_voter(session: &Session, identity: Identity) {
    match session.check_in(&State::running(identity), CheckInOptions::default()).await {
        Ok(response) if response.instruction.is_change() => {
            membership_change::apply(session, &response).await;
        }
        Ok(_) => {}
        Err(error) => session.progress.step("warning", &error.to_string()),
    }
}

/// Checks in as a learner, executes the instruction, and returns the time until the next check-in.
async fn check_in(session: &Session, identity: Identity, deadline: Deadline) -> Result<Duration, CommandError> {
    let progress = &session.progress;
    let running = State::running(identity);
    let check_in = deadline.limit(session.check_in_or_wait(&running, CheckInOptions::default())).await;
    let Some(response) = check_in.map_err(|DeadlineExceeded| session.timeout_error())?? else {
        return Ok(RETRY_INTERVAL);
    };
    let instruction = &response.instruction;
    match &instruction.task {
        Task::Refuse { remedy } => Err(CommandError::refused(instruction, remedy)),
        Task::ArchiveData => Err(CommandError::refused(instruction, "run `convene join` again")),
        _ if instruction.is_change() => Ok(membership_change::apply(session, &response).await),
        _ => {
            progress.wait(&instruction.name, &instruction.reason, &instruction.message);
            Ok(instruction.check_in_after.clamp(RETRY_INTERVAL, 2 * RETRY_INTERVAL))
        }
    }
}
