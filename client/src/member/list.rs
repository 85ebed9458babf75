use clap::Args;
use serde::Serialize;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    overview::{Clock, Overview, member_table},
    registry::{Member, Verbatim},
    stdout,
    target::ClusterArgs,
};

/// The flags of `convene member list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Include removed members
    #[arg(long)]
    removed: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// The members, as the API returns them.
#[derive(Serialize)]
struct MemberList<'a> {
    members: &'a [Verbatim<Member>],
}

/// Runs the command.
pub async fn run(arguments: &ListArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let overview = Overview::read(&target, arguments.removed).await?;
    match arguments.output {
        TableFormat::Table => stdout::print(&member_table(&overview, Clock::now())),
        TableFormat::Json => stdout::print_json(&MemberList { members: &overview.members }),
    }
}
