//! `convene`: forms, repairs and manages etcd clusters through a Convene server.
//!
//! The registry decides and this program acts. All commands for nodes repeat the same turn: read the data directory,
//! check in (`session`), observe the cluster if the instruction says so (`observe`), execute the instruction
//! (`membership_change`, `data_dir`). Nothing is remembered between turns, so the program may be killed at any point and
//! started again.

mod admin_token;
mod agent;
mod boot_clock;
mod cli;
mod cluster;
mod command_error;
mod connections;
mod credential;
mod data_dir;
mod data_dir_lock;
mod deadline;
mod discovery_url;
mod etcd_command;
mod explain;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod join;
mod leadership;
mod leave;
mod local_etcd;
mod member;
mod membership_change;
mod node;
mod observe;
mod one_line;
mod output;
mod overview;
mod own_reason;
mod placement;
mod progress;
mod promote;
mod recent_views;
mod registry;
mod secret_file;
mod session;
mod state_dir;
mod status;
mod stderr;
mod stdout;
mod table;
mod target;
mod token;
mod verify;

use std::{process::ExitCode, time::Duration};

use cli::{Cli, Command};
use command_error::CommandError;
use progress::Progress;

/// How long the last lines of the log may take to be read.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// The program `convene`.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> ExitCode {
    let cli = Cli::read();
    let progress = Progress::new(cli.log_format, cli.subject());
    cli.warnings.iter().for_each(|warning| progress.step("warning", warning));
    let code = match run(&cli).await {
        Ok(code) => code,
        Err(error) => {
            progress.error(&error);
            error.exit_code()
        }
    };
    stderr::flush(LOG_TIMEOUT);
    code
}

async fn run(cli: &Cli) -> Result<ExitCode, CommandError> {
    match &cli.command {
        Command::Run(arguments) => return agent::run(arguments, cli.log_format).await,
        Command::Join(arguments) => join::run(arguments, cli.log_format).await,
        Command::Promote(arguments) => promote::run(arguments, cli.log_format).await,
        Command::Leave(arguments) => leave::run(arguments, cli.log_format).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Cluster(command) => cluster::run(command, cli.log_format).await,
        Command::Member(command) => member::run(command).await,
        Command::Token(command) => token::run(command).await,
        Command::Explain(command) => explain::run(command),
    }
    .map(|()| ExitCode::SUCCESS)
}
