//! `convene status`: shows the cluster of this node.

use crate::{cli::StatusArgs, cluster::show, command_error::CommandError, target::Target};

/// Runs the command.
pub async fn run(arguments: &StatusArgs) -> Result<(), CommandError> {
    let target = Target::at(&arguments.discovery.discovery, &arguments.discovery.tls).await?;
    show::print(&target, arguments.output).await
}
