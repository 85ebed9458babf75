//! `convene cluster`: creates and manages clusters.

mod adopt;
mod create;
mod crosscheck;
mod delete;
mod events;
mod join_token;
mod list;
mod pause;
mod policy_args;
mod preview;
mod reset;
mod resize;
mod set;
pub mod show;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{cli::LogFormat, command_error::CommandError};

/// The commands for clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Create a cluster, and print its discovery URL
    ///
    /// Standard output has the discovery URL alone. If the nodes need a join token, the command also creates one for as many nodes as
    /// the size, valid for 24 h, and prints on standard error how to join.
    Create(create::CreateArgs),
    /// List the clusters of a server
    List(list::ListArgs),
    /// Show a cluster and its members
    Show(show::ShowArgs),
    /// Show which node reaches which member, as the nodes have just reported; exit with code 1 if a node does not reach
    /// every member or no longer checks in, or if no node reports
    Crosscheck(crosscheck::CrosscheckArgs),
    /// Set the number of voters of a cluster
    Resize(resize::ResizeArgs),
    /// Change the name or the policy of a cluster
    ///
    /// Settings that are not given stay as they are.
    Set(set::SetArgs),
    /// Show the events of a cluster
    Events(events::EventsArgs),
    /// Stop all membership changes of a cluster until `resume`
    Pause(pause::PauseArgs),
    /// Allow membership changes of a cluster again
    Resume(pause::PauseArgs),
    /// Take over a running etcd cluster: its member list replaces what the registry knows
    ///
    /// The command reads the list through the quorum of the running members at --endpoints. Use it for a cluster that
    /// the registry does not know or has forgotten, to end a hold, and after all members were restored from a snapshot.
    Adopt(adopt::AdoptArgs),
    /// Start a new epoch: the nodes form a new etcd cluster
    ///
    /// Nodes with data of the former cluster don't start until an administrator consents to archive the data on each of
    /// them (`--accept-reset EPOCH`). Data that has never had a leader is archived at once.
    Reset(reset::ResetArgs),
    /// Create, list and revoke join tokens, with which nodes join a cluster
    #[command(subcommand)]
    JoinToken(join_token::JoinTokenCommand),
    /// Delete a cluster from the registry; its etcd nodes keep running
    Delete(delete::DeleteArgs),
}

/// Runs the command.
pub async fn run(command: &ClusterCommand, log_format: LogFormat) -> Result<(), CommandError> {
    match command {
        ClusterCommand::Create(arguments) => create::run(arguments).await,
        ClusterCommand::List(arguments) => list::run(arguments).await,
        ClusterCommand::Show(arguments) => show::run(arguments).await,
        ClusterCommand::Crosscheck(arguments) => crosscheck::run(arguments).await,
        ClusterCommand::Resize(arguments) => resize::run(arguments).await,
        ClusterCommand::Set(arguments) => set::run(arguments).await,
        ClusterCommand::Events(arguments) => events::run(arguments, log_format).await,
        ClusterCommand::Pause(arguments) => pause::pause(arguments).await,
        ClusterCommand::Resume(arguments) => pause::resume(arguments).await,
        ClusterCommand::Adopt(arguments) => adopt::run(arguments).await,
        ClusterCommand::Reset(arguments) => reset::run(arguments).await,
        ClusterCommand::JoinToken(command) => join_token::run(command).await,
        ClusterCommand::Delete(arguments) => delete::run(arguments).await,
    }
}

/// A text as one segment of a path.
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
