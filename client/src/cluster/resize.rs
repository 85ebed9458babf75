use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{cli::TableFormat, command_error::CommandError, registry::Cluster, stdout, target::ClusterArgs};

/// What `convene cluster resize` is told.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// How many voters the cluster is to have; members join or leave one after another
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    size: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &ResizeArgs) -> Result<(), CommandError> {
    let mut target = arguments.cluster.find().await?;
    let size = arguments.size;
    let changed =
        target.change(Method::PATCH, "", |cluster| (cluster.size != size).then(|| json!({ "size": size }))).await?;
    let now = changed.as_ref().unwrap_or(&target.cluster);
    let revision = now.value.revision;
    match (arguments.output, &changed) {
        (TableFormat::Json, _) => stdout::print_json(now),
        (TableFormat::Table, Some(_)) => {
            let was = target.cluster.value.size;
            let next = next_step(&now.value);
            stdout::print(&format!("{target} has size {size} now, was {was}; revision {revision}{next}\n"))
        }
        (TableFormat::Table, None) => {
            stdout::print(&format!("{target} has size {size} already; revision {revision}\n"))
        }
    }
}

/// Who makes it so: the registry changes no membership itself.
fn next_step(cluster: &Cluster) -> String {
    let (voters, size) = (cluster.voter_count, u64::from(cluster.size));
    match voters.checked_sub(size) {
        Some(surplus @ 1..) => format!(
            "; {surplus} of its {voters} voters are to go: run `convene leave` on their nodes, for with `convene join` alone \
             nobody checks in who would do it"
        ),
        _ if voters > 0 && voters < size => {
            format!("; it has {voters} voters, and nodes that join take the free addresses")
        }
        _ => String::new(),
    }
}
