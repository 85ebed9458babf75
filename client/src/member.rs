//! `convene member`: looks after a cluster's members.

mod evict;
pub mod list;

use clap::Subcommand;

use crate::command_error::CommandError;

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Lists a cluster's members
    List(list::ListArgs),
    /// Has a member removed as soon as that is safe; its node does not come back by itself
    Evict(evict::EvictArgs),
}

/// Runs the command.
pub async fn run(command: &MemberCommand) -> Result<(), CommandError> {
    match command {
        MemberCommand::List(arguments) => list::run(arguments).await,
        MemberCommand::Evict(arguments) => evict::run(arguments).await,
    }
}
