//! `convene cluster`: creates and manages clusters.

mod create;
mod delete;
mod events;
mod list;
mod pause;
mod resize;
pub mod show;

use clap::Subcommand;

use crate::{cli::LogFormat, command_error::CommandError};

/// The commands for clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Create a cluster, and print its discovery URL
    Create(create::CreateArgs),
    /// List the clusters of a server
    List(list::ListArgs),
    /// Show a cluster and its members
    Show(show::ShowArgs),
    /// Set the number of voters of a cluster
    Resize(resize::ResizeArgs),
    /// Show the events of a cluster
    Events(events::EventsArgs),
    /// Stop all membership changes of a cluster until `resume`
    Pause(pause::PauseArgs),
    /// Allow membership changes of a cluster again
    Resume(pause::PauseArgs),
    /// Delete a cluster from the registry; its etcd nodes keep running
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
