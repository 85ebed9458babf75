use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{
    cli::TableFormat, command_error::CommandError, member::one_of, registry::Cluster, stdout, target::ClusterArgs,
};

/// The flags of `convene cluster resize`.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// Number of voters, 1 to 1000; to shrink, also run `convene leave` on each surplus node
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    size: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
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
            stdout::print(&format!("{target} now has size {size}, was {was}; revision {revision}{next}\n"))
        }
        (TableFormat::Table, None) => {
            stdout::print(&format!("{target} already has size {size}; revision {revision}\n"))
        }
    }
}

/// What happens next, and what the administrator has to do for it: the registry itself changes no membership.
fn next_step(cluster: &Cluster) -> String {
    let (voters, size) = (cluster.voter_count, u64::from(cluster.size));
    let nodes = cluster.carried_out_by.as_deref();
    match (voters.checked_sub(size), nodes) {
        (Some(surplus @ 1..), Some(nodes @ [_, ..])) => {
            let removed =
                if surplus == 1 { "one of them".to_owned() } else { format!("{surplus} of them, one by one") };
            format!(
                "; it still has {voters} voters: {} removes {removed} at a later check-in; if no such check-in follows, run \
                 `convene leave` on their nodes",
                one_of(nodes)
            )
        }
        (Some(surplus @ 1..), Some([])) => format!(
            "; it still has {voters} voters, and nobody can remove one now, because no node that could remove it is checking in: run \
             `convene leave` on {surplus} of their nodes"
        ),
        (Some(surplus @ 1..), None) => {
            format!("; it still has {voters} voters, so run `convene leave` on {surplus} of their nodes")
        }
        (None, _) if voters > 0 => {
            format!("; it has {voters} of {size} voters, and the next nodes that join take the free places")
        }
        _ => String::new(),
    }
}
