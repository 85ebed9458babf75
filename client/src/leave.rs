//! `convene leave`: takes this node's member out of the cluster.

use std::time::Duration;

use convene_lifecycle::Identity;

use crate::{
    change,
    cli::{LeaveArgs, LogFormat},
    deadline::Deadline,
    exit::Failure,
    own_etcd,
    registry::{State, Task},
    session::{AGAIN, Session, Wishes},
};

/// Runs the command.
pub async fn run(arguments: &LeaveArgs, log_format: LogFormat) -> Result<(), Failure> {
    let session = Session::new(&arguments.node, log_format)?;
    let deadline = Deadline::after(Some(arguments.timeout));
    while let Some(after) = turn(&session).await? {
        if deadline.pause(after).await.is_err() {
            return Err(Failure::TimedOut(session.progress.gave_up()));
        }
    }
    Ok(())
}

/// Does what is next; `None` means that this node is no member any more.
async fn turn(session: &Session) -> Result<Option<Duration>, Failure> {
    let progress = &session.progress;
    let state = state(session).await?;
    if let State::Unreadable { found } = &state {
        return Err(Failure::Refused(format!(
            "whose data this node has can't be told ({found}); `convene member evict {}` has its member removed",
            session.node.name
        )));
    }
    let wishes = Wishes { leaving: true, ..Wishes::default() };
    let Some(told) = session.ask_patiently(&state, wishes).await? else { return Ok(Some(AGAIN)) };
    let instruction = &told.instruction;
    match &instruction.task {
        Task::StandBy | Task::ArchiveData => {
            let data = session.node.data_path.display();
            progress.step("done", &format!("{}; what is in {data} is kept", instruction.message));
            Ok(None)
        }
        Task::Refuse { remedy } => Err(Failure::refused(instruction, remedy)),
        _ if instruction.is_change() => Ok(Some(change::carry_out(session, &told).await)),
        _ => {
            progress.wait(&instruction.word, &instruction.reason, &instruction.message);
            Ok(Some(instruction.check_in_after.clamp(AGAIN, 2 * AGAIN)))
        }
    }
}

/// What this node has, and whether its etcd runs.
async fn state(session: &Session) -> Result<State, Failure> {
    let state = session.node.state()?;
    let State::Stopped { member_id, cluster_id } = state else { return Ok(state) };
    let identity = Identity { member: member_id, cluster: cluster_id };
    let runs = own_etcd::role(session, identity).await.is_some();
    Ok(if runs { State::running(identity) } else { state })
}
