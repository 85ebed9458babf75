use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use convene_etcd::{ListedMember, MemberList};
use convene_lifecycle::{ClientUrl, ClusterId};
use serde_json::{Value, json};

use super::preview::{DecisiveChange, Outcome};
use crate::{
    cli::{AccessArgs, TableFormat},
    command_error::CommandError,
    connections::Connections,
    node::read_access,
    target::{ClusterArgs, Target},
};

/// How long the member list may take. An election has to fit in.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// The flags of `convene cluster adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Client URLs of running members of the etcd cluster
    #[arg(long, value_name = "URLS", value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    endpoints: Vec<ClientUrl>,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs the command.
pub async fn run(arguments: &AdoptArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let list = read_list(arguments).await?;
    if !arguments.dry_run && arguments.cluster.cluster.is_none() {
        check_replaces_nothing(&target, list.cluster)?;
    }
    let change = DecisiveChange { path: "/adopt", body: adoption(&list) };
    let adopted = change.send(&target, arguments.dry_run).await?;
    let found = list.cluster;
    adopted.print(arguments.output, |outcome, epoch| match outcome {
        Outcome::Changed => format!("{target} now has etcd cluster {found} on record, in epoch {epoch}"),
        Outcome::Unchanged => format!("{target} already has etcd cluster {found} on record"),
        Outcome::Previewed => format!("{target} would have etcd cluster {found} on record, in epoch {epoch}"),
    })
}

/// Reads the member list through the quorum.
async fn read_list(arguments: &AdoptArgs) -> Result<MemberList, CommandError> {
    let (access, peer_tls) = read_access(&arguments.access, &arguments.endpoints)?;
    let connections = Connections::new(access, &peer_tls, &[])?;
    let endpoints: BTreeSet<ClientUrl> = arguments.endpoints.iter().cloned().collect();
    match connections.list(&endpoints, None, LIST_TIMEOUT).await {
        Ok((_, list)) => Ok(list),
        Err(failures) => Err(CommandError::Refused(format!(
            "can't read the member list through the quorum of the etcd cluster: {failures}; give client URLs of running \
             members (--endpoints)"
        ))),
    }
}

/// Fails if the registry knows another etcd cluster: the variable with the discovery URL could be of the wrong cluster.
fn check_replaces_nothing(target: &Target, found: ClusterId) -> Result<(), CommandError> {
    match target.cluster.value.cluster_id.filter(|known| *known != found) {
        None => Ok(()),
        Some(known) => Err(CommandError::Usage(format!(
            "{target} has etcd cluster {known} on record, but the members at --endpoints belong to etcd cluster \
             {found}; to replace the record, give the cluster on the command line: convene cluster adopt CLUSTER"
        ))),
    }
}

fn adoption(list: &MemberList) -> Value {
    let member = |member: &ListedMember| {
        json!({
            "id": member.id.to_string(),
            "name": member.name,
            "peer_urls": member.peer_urls,
            "client_urls": member.client_urls,
            "learner": member.learner,
        })
    };
    json!({ "cluster_id": list.cluster.to_string(), "members": list.members.iter().map(member).collect::<Vec<_>>() })
}
