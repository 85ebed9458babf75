use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    stdout,
    target::Target,
};

/// What `convene cluster delete` is told. The cluster is always named here: one that a variable names is too easily
/// another one than was meant.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// A discovery URL, or the token or the name of one of the server's clusters
    cluster: String,
    /// How the result is printed; json is the cluster as it was
    #[arg(short = 'o', long, value_enum, default_value = "table")]
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
        TableFormat::Table => stdout::print(&format!("{target} is deleted; etcds of it go on running\n")),
        TableFormat::Json => stdout::print_json(&target.cluster),
    }
}
