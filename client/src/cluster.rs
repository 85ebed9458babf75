//! `convene cluster`: makes and looks after clusters.

mod create;
mod delete;
mod events;
mod list;
mod pause;
mod resize;
pub mod show;

use clap::Subcommand;

use crate::{cli::LogFormat, command_error::CommandError};

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Makes a cluster, and prints its discovery URL
    Create(create::CreateArgs),
    /// Lists the server's clusters
    List(list::ListArgs),
    /// Shows a cluster and its members
    Show(show::ShowArgs),
    /// Sets how many voters a cluster is to have
    Resize(resize::ResizeArgs),
    /// Shows what has happened to a cluster
    Events(events::EventsArgs),
    /// Lets all changes of a cluster's membership rest
    Pause(pause::PauseArgs),
    /// Lets changes of a cluster's membership go on
    Resume(pause::PauseArgs),
    /// Deletes a cluster from the registry; its etcds go on running
    Delete(delete::DeleteArgs),
}

/// Runs the command.
pub async fn run(command: &ClusterCommand, log_format: LogFormat) -> Result<(), CommandError> {
    match command {
        ClusterCommand::Create(arguments) => create::run(arguments).await,
        ClusterCommand::List(arguments) => list::run(arguments).await,
        ClusterCommand::Show(arguments) => show::run(arguments).await,
        ClusterCommand::Resize(arguments) => resize::run(arguments).await,
        ClusterCommand::Events(arguments) => events::run(arguments, log_format).await,
        ClusterCommand::Pause(arguments) => pause::pause(arguments).await,
        ClusterCommand::Resume(arguments) => pause::resume(arguments).await,
        ClusterCommand::Delete(arguments) => delete::run(arguments).await,
    }
}
