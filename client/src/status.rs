//! `convene status`: observes the cluster of this node, and shows it.

use convene_lifecycle::ClusterId;

use crate::{
    cli::StatusArgs,
    cluster::show,
    command_error::CommandError,
    connections::{Connections, Failures},
    node::{guess_client_urls, read_access},
    observe::{Addresses, observe},
    overview::Overview,
    registry::View,
    target::Target,
};

/// Runs the command.
pub async fn run(arguments: &StatusArgs) -> Result<(), CommandError> {
    let target = Target::at(&arguments.discovery.discovery, &arguments.discovery.tls).await?;
    let overview = Overview::read(&target, false).await?;
    let (view, failures) = view(arguments, &overview).await?;
    let view = of_this_cluster(view, overview.cluster.value.cluster_id);
    show::print(&Overview { view: Some(view), failures, ..overview }, arguments.output)
}

/// Observes the cluster from this machine, because the registry knows only what nodes have reported.
async fn view(arguments: &StatusArgs, overview: &Overview) -> Result<(View, Option<Failures>), CommandError> {
    let (access, peer_tls) = read_access(&arguments.access)?;
    let connections = Connections::new(access, &peer_tls, &arguments.access.listen_metrics_urls)?;
    Ok(observe(&connections, &addresses(arguments, overview), overview.cluster.value.revision).await)
}

/// The view, without the members of another cluster: that one may answer at the addresses of members that are down, while
/// this cluster elects a leader.
fn of_this_cluster(view: View, own: Option<ClusterId>) -> View {
    match (view.cluster_id, own) {
        (Some(seen), Some(own)) if seen != own => {
            View { linearizable: false, leader: None, term: None, members: Vec::new(), ..view }
        }
        _ => view,
    }
}

/// The addresses in the registry, and those of this node.
fn addresses(arguments: &StatusArgs, overview: &Overview) -> Addresses {
    let mut addresses = Addresses { cluster_id: overview.cluster.value.cluster_id, ..Addresses::default() };
    addresses.client_urls.extend(arguments.advertise_client_urls.iter().cloned());
    for member in overview.members.iter().map(|member| &member.value) {
        addresses.client_urls.extend(member.client_urls.iter().cloned());
        if member.client_urls.is_empty() {
            addresses.client_urls.extend(guess_client_urls(&member.peer_urls, arguments.client_port));
        }
        addresses.peer_urls.extend(member.peer_urls.iter().cloned());
    }
    addresses
}
