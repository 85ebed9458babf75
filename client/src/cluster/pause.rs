use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{cli::TableFormat, command_error::CommandError, stdout, target::ClusterArgs};

/// The flags of `convene cluster pause` and `convene cluster resume`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs `convene cluster pause`.
pub async fn pause(arguments: &PauseArgs) -> Result<(), CommandError> {
    set_paused(arguments, true, "paused: no membership changes until `convene cluster resume`").await
}

/// Runs `convene cluster resume`.
pub async fn resume(arguments: &PauseArgs) -> Result<(), CommandError> {
    set_paused(arguments, false, "no longer paused").await
}

async fn set_paused(arguments: &PauseArgs, paused: bool, done: &str) -> Result<(), CommandError> {
    let mut target = arguments.cluster.find().await?;
    let patch = json!({ "policy": { "paused": paused } });
    let changed =
        target.change(Method::PATCH, "", |cluster| (cluster.policy.paused != paused).then_some(&patch)).await?;
    let now = changed.as_ref().unwrap_or(&target.cluster);
    let revision = now.value.revision;
    match (arguments.output, &changed) {
        (TableFormat::Json, _) => stdout::print_json(now),
        (TableFormat::Table, Some(_)) => stdout::print(&format!("{target} is {done}; revision {revision}\n")),
        (TableFormat::Table, None) => {
            let was = if paused { "already paused" } else { "not paused" };
            stdout::print(&format!("{target} is {was}; revision {revision}\n"))
        }
    }
}
