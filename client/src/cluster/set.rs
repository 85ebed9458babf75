use clap::Args;
use convene_lifecycle::ClusterName;
use reqwest::Method;
use serde::Serialize;

use super::policy_args::PolicyArgs;
use crate::{
    cli::TableFormat, command_error::CommandError, overview::policy_line, registry::PolicySettings, stdout,
    target::ClusterArgs,
};

/// The flags of `convene cluster set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// New name of the cluster, for administrators
    #[arg(long)]
    name: Option<ClusterName>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// What changes.
#[derive(Serialize)]
struct Settings<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a ClusterName>,
    policy: PolicySettings,
}

/// Runs the command.
pub async fn run(arguments: &SetArgs) -> Result<(), CommandError> {
    let settings = Settings { name: arguments.name.as_ref(), policy: arguments.policy.settings() };
    if settings.name.is_none() && settings.policy == PolicySettings::default() {
        let message = "nothing to set: give --name, or a setting of the policy such as --dead-after 30s";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let mut target = arguments.cluster.find().await?;
    let changed = target.change(Method::PATCH, "", |_| Some(&settings)).await?;
    let now = changed.as_ref().unwrap_or(&target.cluster);
    match arguments.output {
        TableFormat::Json => stdout::print_json(now),
        TableFormat::Table => {
            let revision = now.value.revision;
            let is_new = revision != target.cluster.value.revision;
            let has = if is_new { "now has" } else { "already has" };
            let name = settings.name.map(|name| format!("the name {name} and ")).unwrap_or_default();
            let policy = policy_line(&now.value.policy);
            stdout::print(&format!("{target} {has} {name}the policy: {policy}; revision {revision}\n"))
        }
    }
}
