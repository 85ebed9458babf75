//! `convene promote`: waits until this node's member has caught up, and makes it a voter.

use std::time::Duration;

use convene_lifecycle::{Identity, Role};

use crate::{
    change,
    cli::{LogFormat, PromoteArgs},
    data_dir::Contents,
    deadline::Deadline,
    exit::Failure,
    own_etcd,
    registry::{State, Task},
    session::{AGAIN, Session, Wishes},
};

/// Runs the command.
pub async fn run(arguments: &PromoteArgs, log_format: LogFormat) -> Result<(), Failure> {
    let session = Session::new(&arguments.node, log_format)?;
    let begin = || Deadline::after(Some(arguments.timeout));
    let mut deadline = begin();
    loop {
        let after = match turn(&session).await? {
            Turn::Votes => return Ok(()),
            Turn::IsSilent => AGAIN,
            Turn::Learns(after) => {
                if arguments.as_long_as_etcd_runs {
                    deadline = begin();
                }
                after
            }
        };
        if deadline.pause(after).await.is_err() {
            return Err(Failure::TimedOut(session.progress.gave_up()));
        }
    }
}

/// How far it is.
enum Turn {
    /// etcd has not started, or does not answer.
    IsSilent,
    /// It is a learner; to be looked at again after this time.
    Learns(Duration),
    /// There is nothing left to do.
    Votes,
}

async fn turn(session: &Session) -> Result<Turn, Failure> {
    let progress = &session.progress;
    let Contents::Member(identity) = session.node.data.read()? else {
        let path = session.node.data_path.display();
        let message = format!("there is no member's data in {path} yet; etcd has to start first");
        progress.wait("wait", "not_started", &message);
        return Ok(Turn::IsSilent);
    };
    match own_etcd::role(session, identity).await {
        None => {
            progress.wait("wait", "not_started", "this node's etcd does not answer yet");
            Ok(Turn::IsSilent)
        }
        Some(Role::Learner) => ask(session, identity).await.map(Turn::Learns),
        Some(Role::Voter) => {
            report_voter(session, identity).await;
            progress.step("done", &format!("member {} is a voter", identity.member));
            Ok(Turn::Votes)
        }
    }
}

/// Lets the registry know at once, so that it has the ticket back; that a member votes is true without it. Whatever else
/// it wants done is done, because it waits for whom it has told.
async fn report_voter(session: &Session, identity: Identity) {
    match session.ask(&State::running(identity), Wishes::default()).await {
        Ok(told) if told.instruction.is_change() => drop(change::carry_out(session, &told).await),
        Ok(_) => {}
        Err(error) => session.progress.step("warning", &error.to_string()),
    }
}

async fn ask(session: &Session, identity: Identity) -> Result<Duration, Failure> {
    let progress = &session.progress;
    let running = State::running(identity);
    let Some(told) = session.ask_patiently(&running, Wishes::default()).await? else { return Ok(AGAIN) };
    let instruction = &told.instruction;
    match &instruction.task {
        Task::Refuse { remedy } => Err(Failure::refused(instruction, remedy)),
        Task::ArchiveData => Err(Failure::refused(instruction, "run `convene join` again")),
        _ if instruction.is_change() => Ok(change::carry_out(session, &told).await),
        _ => {
            progress.wait(&instruction.word, &instruction.reason, &instruction.message);
            Ok(instruction.check_in_after.clamp(AGAIN, 2 * AGAIN))
        }
    }
}
