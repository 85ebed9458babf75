use clap::Args;
use serde_json::json;

use super::preview::{DecisiveChange, Outcome};
use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    target::Target,
};

/// The flags of `convene cluster reset`. The cluster must be given: a variable could name the wrong one.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Discovery URL, ID, token or name of the cluster
    cluster: String,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(arguments: &ResetArgs) -> Result<(), CommandError> {
    let target = Target::find(&arguments.cluster, &arguments.server).await?;
    let change = DecisiveChange { path: "/reset", body: json!({ "token": target.token().as_str() }) };
    let reset = change.send(&target, arguments.dry_run).await?;
    reset.print(arguments.output, |outcome, epoch| match outcome {
        Outcome::Changed => format!("{target} is reset: its nodes form a new etcd cluster in epoch {epoch}"),
        Outcome::Unchanged => format!("{target} is unchanged"),
        Outcome::Previewed => {
            format!("{target} would be reset: its nodes would form a new etcd cluster in epoch {epoch}")
        }
    })
}
