use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{cli::TableFormat, command_error::CommandError, stdout, target::ClusterArgs};

/// What `convene cluster pause` and `convene cluster resume` are told.
#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs `convene cluster pause`.
pub async fn pause(arguments: &PauseArgs) -> Result<(), CommandError> {
    set(arguments, true, "paused: no node is told to change its membership until it is resumed").await
}

/// Runs `convene cluster resume`.
pub async fn resume(arguments: &PauseArgs) -> Result<(), CommandError> {
    set(arguments, false, "not paused any more").await
}

async fn set(arguments: &PauseArgs, paused: bool, done: &str) -> Result<(), CommandError> {
    let mut target = arguments.cluster.find().await?;
    let to = json!({ "policy": { "paused": paused } });
    let changed = target.change(Method::PATCH, "", |cluster| (cluster.policy.paused != paused).then_some(&to)).await?;
    let now = changed.as_ref().unwrap_or(&target.cluster);
    let revision = now.value.revision;
    match (arguments.output, &changed) {
        (TableFormat::Json, _) => stdout::print_json(now),
        (TableFormat::Table, Some(_)) => stdout::print(&format!("{target} is {done}; revision {revision}\n")),
        (TableFormat::Table, None) => {
            let was = if paused { "paused already" } else { "not paused" };
            stdout::print(&format!("{target} is {was}; revision {revision}\n"))
        }
    }
}
