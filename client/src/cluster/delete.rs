use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    registry::{FreedToken, Verbatim},
    stdout,
    target::{self, Target},
};

/// The flags of `convene cluster delete`. The cluster must be given: a variable could name the wrong one.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Discovery URL, ID, token or name of the cluster
    cluster: String,
    /// Also free the token of a cluster that had members, so that a new cluster can have it
    ///
    /// Use it for a fixed token in a configuration, before you install all nodes of the cluster again. First stop every etcd
    /// and every convene of the former cluster, and delete their data and what convene has archived next to it: etcd computes
    /// IDs from the token, and can't tell former members from new ones. The command also succeeds for the token of a cluster
    /// that was deleted before, or never existed.
    #[arg(long)]
    forget_used: bool,
    /// Format of the result; json prints the deleted cluster, or with --forget-used the response of the API
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(arguments: &DeleteArgs) -> Result<(), CommandError> {
    if arguments.forget_used {
        return free(arguments).await;
    }
    let target = Target::find(&arguments.cluster, &arguments.server).await?;
    let deleted = target.registry.call_without_response(Method::DELETE, &target.path(""), None::<&Value>).await;
    deleted.map_err(|error| target.explain(error))?;
    match arguments.output {
        TableFormat::Table => stdout::print(&format!("{target} is deleted; its etcd nodes keep running\n")),
        TableFormat::Json => stdout::print_json(&target.cluster),
    }
}

async fn free(arguments: &DeleteArgs) -> Result<(), CommandError> {
    let (registry, token) = target::find_token(&arguments.cluster, &arguments.server).await?;
    let path = target::path(&token, "?used=forget");
    let freed: Verbatim<FreedToken> = registry.call(Method::DELETE, &path, None::<&Value>).await?;
    match arguments.output {
        TableFormat::Table => stdout::print(&text(&token.to_string(), &freed.value)),
        TableFormat::Json => stdout::print_json(&freed),
    }
}

fn text(token: &str, freed: &FreedToken) -> String {
    let outcome = match (freed.deleted, freed.forgotten) {
        (true, _) => format!("cluster {token} is deleted, and its token is free; its etcd nodes keep running"),
        (false, true) => format!("the token {token} of a deleted cluster is free"),
        (false, false) => format!("the token {token} was free already"),
    };
    let warning = freed.warning.as_ref().map(|warning| format!("Warning: {warning}\n"));
    format!("{outcome}\n{}", warning.unwrap_or_default())
}
