//! `convene`: asks the registry what this node's etcd does next, and makes it so.
//!
//! The registry decides and this program acts. One turn of every command for nodes is the same: read the data directory,
//! check in (`session`), look at the cluster if that is asked for (`look`), do what it says (`change`, `data_dir`), and
//! begin again. Nothing is remembered between turns, so that it may be killed at any point and started again.

mod alone;
mod change;
mod cli;
mod cluster;
mod data_dir;
mod deadline;
mod discovery_url;
mod endpoints;
mod exit;
mod join;
mod leave;
mod look;
mod member;
mod node;
mod output;
mod own_etcd;
mod progress;
mod promote;
mod registry;
mod session;
mod status;
mod stdout;
mod table;
mod target;

use std::process::ExitCode;

use cli::{Cli, Command};
use progress::Progress;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::read();
    let done = match &cli.command {
        Command::Join(arguments) => join::run(arguments, cli.log_format).await,
        Command::Promote(arguments) => promote::run(arguments, cli.log_format).await,
        Command::Leave(arguments) => leave::run(arguments, cli.log_format).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Cluster(command) => cluster::run(command, cli.log_format).await,
        Command::Member(command) => member::run(command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Progress::new(cli.log_format, cli.subject()).failure(&failure);
            failure.exit_code()
        }
    }
}
