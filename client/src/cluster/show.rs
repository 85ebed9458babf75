use clap::Args;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    overview::{Clock, Overview, to_text},
    stdout,
    target::ClusterArgs,
};

/// The flags of `convene cluster show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Also print the discovery token and URL, if the API token may change the cluster
    #[arg(long)]
    show_token: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &ShowArgs) -> Result<(), CommandError> {
    let mut target = arguments.cluster.find().await?;
    if arguments.show_token {
        target.cluster = target.get("?show_token=true").await?;
    }
    print(&Overview::read(&target, false).await?, arguments.output)
}

/// Prints a cluster, its members and its nodes.
pub fn print(overview: &Overview, output: TableFormat) -> Result<(), CommandError> {
    match output {
        TableFormat::Table => stdout::print(&to_text(overview, Clock::now())),
        TableFormat::Json => stdout::print_json(overview),
    }
}
