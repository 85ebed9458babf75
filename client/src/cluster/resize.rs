use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::{
    cli::TableFormat, command_error::CommandError, member::one_of, registry::Cluster, stdout, target::ClusterArgs,
};

/// The flags of `convene cluster resize`.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// Number of voters, 1 to 1000; surplus members leave by themselves under `convene run`, and with `convene leave` otherwise
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
            let next = next_step(&now.value);
            stdout::print(&format!("{target} already has size {size}; revision {revision}{next}\n"))
        }
    }
}

/// What happens next, and what the administrator has to do for it: the registry itself changes no membership.
fn next_step(cluster: &Cluster) -> String {
    let (voters, size) = (cluster.voter_count, u64::from(cluster.size));
    let nodes = cluster.carried_out_by.as_deref();
    // A cluster that was not changed does not show them, nor does an older server.
    match (cluster.surplus_voters.unwrap_or_else(|| voters.saturating_sub(size)), nodes) {
        (surplus @ 1.., _) if cluster.policy.paused => format!(
            "; it still has {voters} voters, and membership changes are paused: {surplus} of them will be removed after \
             `convene cluster resume`"
        ),
        (surplus @ 1.., Some(nodes @ [_, ..])) => {
            let order = if surplus == 1 { "" } else { ", one after another," };
            format!(
                "; it still has {voters} voters. {surplus} of them will be removed{order} by {}. If nothing changes, \
                 `convene cluster show` has the reason",
                one_of(nodes)
            )
        }
        (surplus @ 1.., Some([])) => format!(
            "; it still has {voters} voters, and no node that can remove one checks in now: start `convene run` on \
             the nodes, or run `convene leave` on {surplus} of them"
        ),
        (surplus @ 1.., None) => {
            format!(
                "; it still has {voters} voters; without `convene run`, run `convene leave` on {surplus} of the nodes"
            )
        }
        (0, _) if voters > size => format!(
            "; it has {voters} voters. Convene removes none of them, because the size was not lowered. To remove one, \
             run `convene member evict NAME`"
        ),
        (0, _) if voters > 0 && voters < size => {
            format!("; it has {voters} of {size} voters, and the next nodes that join take the free places")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_size_prints_which_removals_it_requests() {
        let none = "; it has 5 voters. Convene removes none of them, because the size was not lowered. To remove one, \
                    run `convene member evict NAME`";
        let leave = "; it still has 5 voters, and no node that can remove one checks in now: start `convene run` on \
                     the nodes, or run `convene leave` on 1 of them";
        let paused = "; it still has 5 voters, and membership changes are paused: 1 of them will be removed after `convene \
                      cluster resume`";
        let rows = [
            (4, Some(0), false, none),
            (4, Some(1), false, leave),
            (4, Some(1), true, paused),
            // An older server.
            (4, None, false, leave),
            (5, Some(0), false, ""),
            (6, Some(0), false, "; it has 5 of 6 voters, and the next nodes that join take the free places"),
        ];
        for (size, surplus_voters, is_paused, expected) in rows {
            let cluster = json!({
                "token": "6c007a14875d53d9bf0ef5a6fc0257c8", "name": null, "size": size, "revision": 7,
                "created_at": "2026-08-01T12:00:00.000Z", "phase": "bootstrapped", "epoch": 1, "cluster_id": null,
                "voter_count": 5, "learner_count": 0, "ticket": null, "carried_out_by": [],
                "surplus_voters": surplus_voters,
                "policy": {
                    "strategy": "replace", "dead_after_seconds": 60, "learner": true, "check_in_every_seconds": 10,
                    "paused": is_paused, "max_failed_starts": 5, "witnesses": 2,
                },
            });
            assert_eq!(
                next_step(&serde_json::from_value(cluster).unwrap()),
                expected,
                "size {size}, {surplus_voters:?}"
            );
        }
    }
}
