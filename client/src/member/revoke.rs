use clap::Args;
use convene_lifecycle::MemberName;
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::TableFormat, cluster::path_segment, command_error::CommandError, registry::Verbatim, stdout,
    target::ClusterArgs,
};

/// The flags of `convene member revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Name of the node
    node: MemberName,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &RevokeArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let node = &arguments.node;
    let path = target.path(&format!("/nodes/{}/credential", path_segment(node.as_str())));
    let revoked: Verbatim<Value> = target.registry.call(Method::DELETE, &path, None::<&Value>).await?;
    let text = format!(
        "the credential of {node} in {target} is revoked; the node is not admitted any more. If it has a member, its etcd keeps \
         running until the member is evicted\n"
    );
    match arguments.output {
        TableFormat::Json => stdout::print_json(&revoked),
        TableFormat::Table => stdout::print(&text),
    }
}
