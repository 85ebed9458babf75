//! `convene promote`: waits until this node's member has caught up, and makes it a voter.

mod etcd_process;
mod turn;

use std::time::Duration;

use convene_lifecycle::{Identity, Reason, Role};

use crate::{
    cli::{LogFormat, PromoteArgs},
    command_error::CommandError,
    data_dir::Contents,
    deadline::{Deadline, DeadlineExceeded},
    local_etcd, membership_change,
    node::Node,
    own_reason::OwnReason,
    registry::{State, Task},
    session::{CheckInOptions, CheckInResponse, RETRY_INTERVAL, Session},
};
use etcd_process::EtcdProcess;
use turn::Turn;

/// How often a node checks in while its etcd loads. Without these check-ins, an etcd that takes long to load would look
/// dead.
const LOADING_INTERVAL: Duration = Duration::from_secs(2);

/// How often the promoter reports its voter while the registry does not answer. The report matters most while the registry does not
/// know yet that the cluster exists.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the command.
pub async fn run(arguments: &PromoteArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let session = Session::new(&arguments.node, log_format)?;
    if !arguments.as_long_as_etcd_runs {
        return promote(&session, arguments).await;
    }
    if let Some(turn) = Turn::take(&session.node.data_path).await? {
        tokio::select! {
            result = promote(&session, arguments) => return result,
            () = turn.end() => {}
        }
    }
    session.progress.step("done", "a later `convene promote` takes over");
    Ok(())
}

async fn promote(session: &Session, arguments: &PromoteArgs) -> Result<(), CommandError> {
    let new_deadline = || Deadline::after(Some(arguments.timeout));
    let mut deadline = new_deadline();
    let mut process = EtcdProcess::new();
    loop {
        let stage = advance(session, deadline).await?;
        process.record(!matches!(stage, Stage::NotStarted));
        let after = match stage {
            Stage::Voter => return Ok(()),
            Stage::NotStarted if arguments.as_long_as_etcd_runs && process.is_gone() => {
                session.progress.step("done", "no etcd process uses the data directory");
                return Ok(());
            }
            Stage::NotStarted => RETRY_INTERVAL,
            Stage::Loading => LOADING_INTERVAL,
            Stage::Learner { check_in_after } => {
                if arguments.as_long_as_etcd_runs {
                    deadline = new_deadline();
                }
                check_in_after
            }
            Stage::Moved { check_in_after } if arguments.as_long_as_etcd_runs => check_in_after,
            Stage::Unreported if arguments.as_long_as_etcd_runs => {
                deadline = new_deadline();
                REPORT_INTERVAL
            }
            Stage::Unreported => {
                session.progress.step("done", "this node's member is a voter; the registry does not know that yet");
                return Ok(());
            }
            Stage::Moved { .. } => {
                session
                    .progress
                    .step("done", "this node's member is a voter; etcd lists it at other peer URLs than this node's");
                return Ok(());
            }
        };
        if deadline.sleep(after).await.is_err() {
            return Err(session.timeout_error());
        }
    }
}

/// How far this node's member is on its way to being a voter.
enum Stage {
    /// No etcd process uses the data directory.
    NotStarted,
    /// An etcd process uses the data directory, but does not answer yet.
    Loading,
    /// etcd runs as a learner.
    Learner { check_in_after: Duration },
    /// etcd runs as a voter, but its list has other peer URLs for it than this node's.
    Moved { check_in_after: Duration },
    /// etcd runs as a voter, and the registry did not take the report.
    Unreported,
    /// etcd runs as a voter: nothing is left to do.
    Voter,
}

async fn advance(session: &Session, deadline: Deadline) -> Result<Stage, CommandError> {
    let Node { data, data_path, .. } = &session.node;
    let progress = &session.progress;
    // An etcd that answers at this node's address may be that of a machine from which this one was copied.
    if !data.is_in_use()? {
        let message = format!("waiting for etcd to start on {}", data_path.display());
        progress.wait("wait", OwnReason::NotStarted.as_str(), &message);
        return Ok(Stage::NotStarted);
    }
    let Contents::Member(identity) = data.read()? else {
        let message = format!("etcd's process runs, but {} has no data of a member yet", data_path.display());
        progress.wait("wait", Reason::Loading.as_str(), &message);
        return Ok(Stage::Loading);
    };
    match local_etcd::role(session, identity).await {
        None => {
            report_loading(session, identity, deadline).await?;
            Ok(Stage::Loading)
        }
        Some(Role::Learner) => {
            let check_in_after = check_in(session, identity, deadline).await?;
            Ok(Stage::Learner { check_in_after })
        }
        Some(Role::Voter) => {
            let Some(check_in_after) = report_voter(session, identity).await? else { return Ok(Stage::Unreported) };
            if has_moved(session, identity) {
                return Ok(Stage::Moved { check_in_after });
            }
            progress.step("done", &format!("member {} is a voter", identity.member));
            Ok(Stage::Voter)
        }
    }
}

/// Reports that this node's etcd loads, so that its silence does not count.
async fn report_loading(session: &Session, identity: Identity, deadline: Deadline) -> Result<(), CommandError> {
    let loading = State::starting(identity);
    let check_in = deadline.limit(session.check_in_or_wait(&loading, CheckInOptions::default())).await;
    let response = check_in.map_err(|DeadlineExceeded| session.timeout_error())??;
    match response.map(|response| response.instruction) {
        Some(instruction) => match &instruction.task {
            Task::Refuse { remedy } => Err(CommandError::refused(&instruction, remedy)),
            _ => {
                let message = "etcd's process runs, but does not answer yet";
                session.progress.wait("wait", Reason::Loading.as_str(), message);
                Ok(())
            }
        },
        None => Ok(()),
    }
}

/// Reports the promotion at once, so that the registry can release the ticket. If the answer is a membership change, it is applied:
/// the registry has given this node the ticket for it. Returns the time until the next check-in; `None` if the registry does not
/// answer now.
async fn report_voter(session: &Session, identity: Identity) -> Result<Option<Duration>, CommandError> {
    Ok(match session.check_in(&State::running(identity), CheckInOptions::default()).await {
        Ok(response) if response.instruction.is_change() => Some(membership_change::apply(session, &response).await),
        Ok(CheckInResponse { instruction, .. }) => {
            if has_moved(session, identity) {
                session.progress.wait(&instruction.name, &instruction.reason, &instruction.message);
            }
            Some(instruction.check_in_after.clamp(RETRY_INTERVAL, 2 * RETRY_INTERVAL))
        }
        Err(error) if error.denial().is_some() && error.is_permanent() => return Err(error.into()),
        Err(error) => {
            session.progress.wait("warning", error.reason(), &error.to_string());
            error.is_permanent().then_some(RETRY_INTERVAL)
        }
    })
}

/// Whether this node has seen other peer URLs for its member in etcd's list than those of its configuration.
fn has_moved(session: &Session, identity: Identity) -> bool {
    let configured = &session.node.peer_urls;
    let Some(view) = session.last_view().filter(|_| !configured.is_empty()) else { return false };
    let listed = view.members.into_iter().find(|member| member.id == identity.member);
    listed.is_some_and(|listed| listed.peer_urls.iter().any(|url| !configured.contains(url)))
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
