use clap::Args;
use convene_lifecycle::ClusterName;
use serde::Serialize;

use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    registry::{Cluster, Verbatim},
    stdout,
    table::Table,
    target::{self, Filter},
};

/// The flags of `convene cluster list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only clusters with this name
    #[arg(long)]
    name: Option<ClusterName>,
    /// Only clusters that have formed; with =false, only those that have not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    formed: Option<bool>,
    /// Only clusters that are paused; with =false, only those that are not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    paused: Option<bool>,
    /// With -o json, also print the discovery tokens and URLs of the clusters that the API token may change
    #[arg(long)]
    show_token: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// All pages in one document.
#[derive(Serialize)]
struct ClusterList<'a> {
    clusters: &'a [Verbatim<Cluster>],
}

/// Runs the command.
pub async fn run(arguments: &ListArgs) -> Result<(), CommandError> {
    let registry = target::server(&arguments.server)?;
    let filter = Filter {
        name: arguments.name.as_ref(),
        formed: arguments.formed,
        paused: arguments.paused,
        show_token: arguments.show_token,
    };
    let clusters = target::list_clusters(&registry, &filter).await?;
    match arguments.output {
        TableFormat::Table => stdout::print(&table(&clusters)),
        TableFormat::Json => stdout::print_json(&ClusterList { clusters: &clusters }),
    }
}

fn table(clusters: &[Verbatim<Cluster>]) -> String {
    let mut table = Table::new(&["NAME", "ID", "PHASE", "SIZE", "VOTERS", "LEARNERS", "PAUSED", "REVISION", "CREATED"]);
    for Verbatim { value: cluster, .. } in clusters {
        table.row([
            cluster.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            cluster.shown_id(),
            cluster.phase.clone(),
            cluster.size.to_string(),
            cluster.voter_count.to_string(),
            cluster.learner_count.to_string(),
            crate::overview::yes_or_no(cluster.policy.paused).to_owned(),
            cluster.revision.to_string(),
            cluster.created_at.clone(),
        ]);
    }
    table.with_headings()
}
