//! `convene join`: prepares the start of etcd, and prints how to start it.

mod promoter;
mod result;

use crate::{
    cli::{JoinArgs, LogFormat},
    command_error::CommandError,
    deadline::Deadline,
    output::EtcdConfig,
    placement::{self, Placement, Turn},
    session::{CheckInOptions, Session},
    stdout,
};

/// Runs the command. On success, the configuration of etcd has been printed on standard output.
pub async fn run(arguments: &JoinArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let session = Session::new(&arguments.node, log_format)?;
    placement::ensure_etcd_is_stopped(&session.node)?;
    let deadline = Deadline::after(arguments.timeout);
    let mut placement = Placement::new(check_in_options(arguments), arguments.placement.offline_grace, deadline);
    if arguments.dry_run {
        return result::print_dry_run(arguments.output, &placement.preview(&session).await?);
    }
    loop {
        match placement.turn(&session).await? {
            Turn::CheckIn(after) if deadline.sleep(after).await.is_err() => return Err(session.timeout_error()),
            Turn::CheckIn(_) => {}
            Turn::Start(config) => return print_result(arguments, &session, &config),
            Turn::Refused { instruction, remedy } => return Err(CommandError::refused(&instruction, &remedy)),
            Turn::Rejected(error) => return Err(error.into()),
        }
    }
}

fn check_in_options(arguments: &JoinArgs) -> CheckInOptions {
    let JoinArgs { once, etcd_version, .. } = *arguments;
    CheckInOptions { once, etcd_version, ..arguments.placement.check_in_options() }
}

fn print_result(arguments: &JoinArgs, session: &Session, config: &EtcdConfig) -> Result<(), CommandError> {
    let progress = &session.progress;
    let text = result::render(config, arguments.output, progress)?;
    progress.step_with_reason(config.action.as_str(), &config.reason, &config.message);
    if !arguments.no_promote {
        promoter::spawn(&arguments.node, progress);
    }
    stdout::print(&text)
}
