//! `convene member`: lists and evicts members of a cluster.

mod evict;
pub mod list;

use clap::Subcommand;

use crate::command_error::CommandError;

/// The commands for members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members of a cluster
    List(list::ListArgs),
    /// Request the removal of a member as soon as that is safe; its node does not rejoin by itself
    Evict(evict::EvictArgs),
}

/// Runs the command.
pub async fn run(command: &MemberCommand) -> Result<(), CommandError> {
    match command {
        MemberCommand::List(arguments) => list::run(arguments).await,
        MemberCommand::Evict(arguments) => evict::run(arguments).await,
    }
}
