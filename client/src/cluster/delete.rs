use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    stdout,
    target::Target,
};

/// The flags of `convene cluster delete`. The cluster must be given: a variable could name the wrong one.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Discovery URL, token or name of the cluster
    cluster: String,
    /// Format of the result; json prints the deleted cluster
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(arguments: &DeleteArgs) -> Result<(), CommandError> {
    let target = Target::find(&arguments.cluster, &arguments.server).await?;
    let deleted = target.registry.call_without_response(Method::DELETE, &target.path(""), None::<&Value>).await;
    deleted.map_err(|error| target.explain(error))?;
    match arguments.output {
        TableFormat::Table => stdout::print(&format!("{target} is deleted; its etcd nodes keep running\n")),
        TableFormat::Json => stdout::print_json(&target.cluster),
    }
}
