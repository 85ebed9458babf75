//! `convene status`: observes the cluster of this node, and shows it.

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
    let target = Target::at(arguments.discovery.url(), &arguments.discovery.tls).await?;
    let overview = Overview::read(&target, false).await?;
    let (view, failures) = view(arguments, &overview).await?;
    let mut overview = Overview { view: Some(view), failures, ..overview };
    if overview.other_cluster().is_some() {
        overview.view = overview.view.map(without_members);
    }
    show::print(&overview, arguments.output)
}

/// Observes the cluster from this machine, because the registry knows only what nodes have reported.
async fn view(arguments: &StatusArgs, overview: &Overview) -> Result<(View, Option<Failures>), CommandError> {
    let (access, peer_tls) = read_access(&arguments.access, &arguments.advertise_client_urls)?;
    let connections = Connections::new(access, &peer_tls, &arguments.access.listen_metrics_urls)?;
    Ok(observe(&connections, &addresses(arguments, overview), overview.cluster.value.revision).await)
}

/// The view of another cluster: its members and its leader say nothing about this one.
fn without_members(view: View) -> View {
    View { linearizable: false, leader: None, term: None, members: Vec::new(), ..view }
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
