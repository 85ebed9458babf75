//! Before etcd starts as a member, and before a member gets other peer URLs.

use std::collections::BTreeSet;

use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{PROBE_TIMEOUT, peer_lists};
use crate::{
    data_dir::Contents,
    local_etcd,
    registry::{Start, State},
    session::Session,
};

/// Checks that no etcd runs as the member of this node's data. This node's own etcd is stopped.
pub async fn verify_start(session: &Session, state: &State) -> Result<(), String> {
    let State::Stopped { member_id, .. } = state else { return Ok(()) };
    check_runs_nowhere(session, *member_id, client_urls(session, *member_id)).await
}

/// Checks that no etcd runs as the member that was added for this node.
pub async fn verify_join(session: &Session, start: &Start) -> Result<(), String> {
    let own = &start.initial_advertise_peer_urls;
    let added = session
        .last_view()
        .and_then(|view| view.members.into_iter().find(|member| member.peer_urls.iter().any(|url| own.contains(url))));
    // A member that has never run has no client URLs.
    let Some(added) = added else { return Ok(()) };
    check_runs_nowhere(session, added.id, added.client_urls.into_iter().collect()).await
}

/// Checks that no etcd runs as the founder that this node will be, and that no member of a cluster whose database is left
/// over in the data directory answers.
pub async fn verify_bootstrap(session: &Session, start: &Start) -> Result<(), String> {
    let founder = MemberId::of_founder(&start.initial_advertise_peer_urls, &start.initial_cluster_token);
    check_runs_nowhere(session, founder, client_urls(session, founder)).await?;
    let known = session.node.data.members();
    let peer_urls = known.iter().flat_map(|member| member.peer_urls.clone());
    for (url, list) in peer_lists(session, peer_urls).await {
        if let Some(member) = list.members.iter().find(|listed| known.iter().any(|known| known.id == listed.id)) {
            return Err(format!(
                "the database in {} is of cluster {}, which runs: the etcd at {url} lists its member {}",
                session.node.data_path.display(),
                list.cluster,
                member.id
            ));
        }
    }
    Ok(())
}

/// Checks that the new peer URLs of this node's member are its own. An etcd that runs must answer there; one that is stopped
/// must not run elsewhere.
pub async fn verify_update(session: &Session, member: MemberId, peer_urls: &[PeerUrl]) -> Result<(), String> {
    let node = &session.node;
    if !node.data.is_in_use().unwrap_or(false) {
        return check_runs_nowhere(session, member, client_urls(session, member)).await;
    }
    let own = match node.data.read() {
        Ok(Contents::Member(own)) if own.member == member => own,
        _ => return Err(format!("member {member} is not that of this node's data")),
    };
    if local_etcd::role(session, own).await.is_none() {
        return Err(format!("this node's etcd does not answer as member {}", own.member));
    }
    let lists = peer_lists(session, peer_urls.iter().cloned()).await;
    let answers = |url: &&PeerUrl| lists.iter().any(|(at, list)| at == *url && list.cluster == own.cluster);
    match peer_urls.iter().find(|url| !answers(url)) {
        Some(url) => {
            Err(format!("this node's etcd runs, but no member of its cluster answers at the new peer URL {url}"))
        }
        None => Ok(()),
    }
}

async fn check_runs_nowhere(session: &Session, member: MemberId, urls: BTreeSet<ClientUrl>) -> Result<(), String> {
    let clients = urls.into_iter().filter_map(|url| Some((session.connections.client(&url).ok()?, url)));
    let mut answers: FuturesUnordered<_> =
        clients.map(|(client, url)| async move { (client.status(PROBE_TIMEOUT).await, url) }).collect();
    while let Some((answer, url)) = answers.next().await {
        if answer.is_ok_and(|status| status.member == member) {
            return Err(format!("an etcd already runs as member {member} at {url}; two must never run as one member"));
        }
    }
    Ok(())
}

/// Where an etcd of this member might answer: at all URLs of the registry, at this node's own, and at those in its data.
fn client_urls(session: &Session, member: MemberId) -> BTreeSet<ClientUrl> {
    let known = session.node.data.members().into_iter().filter(|known| known.id == member);
    let own = session.own_addresses().client_urls;
    session.addresses().client_urls.into_iter().chain(own).chain(known.flat_map(|known| known.client_urls)).collect()
}
