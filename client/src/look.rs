//! Looks at an etcd cluster.
//!
//! A look is quick, because failures that lie far apart are no evidence of one outage: all members are asked at the
//! same time, and the whole takes a few seconds at most.

use std::{collections::BTreeSet, time::Duration};

use convene_etcd::{ListedMember, MemberList, PeerClient, Status};
use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};
use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt},
};

use crate::{
    endpoints::{Endpoints, Failures, Probe, is_answer},
    registry::{ObservedMember, View},
};

/// How long a list through the quorum may take: an election must fit in.
pub const LIST: Duration = Duration::from_millis(2_500);

/// How long a single member may take to answer.
const ANSWER: Duration = Duration::from_millis(1_500);

/// Where a cluster may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// By clients.
    pub client_urls: BTreeSet<ClientUrl>,
    /// By members.
    pub peer_urls: Vec<PeerUrl>,
}

/// Looks at a cluster: its list, through the quorum if there is one, and who answers; and if there is none that can be
/// seen from here, why. `since` is the revision of the last instruction.
pub async fn look(endpoints: &Endpoints, places: &Places, since: u64) -> (View, Option<Failures>) {
    let (asked, peers) =
        tokio::join!(endpoints.list(&places.client_urls, LIST), list_of_peers(endpoints.peers(), &places.peer_urls));
    let failures = match asked {
        Ok((_, list)) => return (view(endpoints, since, &list, true).await, None),
        Err(failures) => failures,
    };
    let Some(list) = peers else {
        let nothing = View { since, cluster_id: None, linearizable: false, leader: None, members: Vec::new() };
        return (nothing, Some(failures));
    };
    // Clients may be reached elsewhere than the registry knows.
    let elsewhere = client_urls(&list);
    if elsewhere.is_subset(&places.client_urls) {
        return (view(endpoints, since, &list, false).await, Some(failures));
    }
    match endpoints.list(&elsewhere, LIST).await {
        Ok((_, list)) => (view(endpoints, since, &list, true).await, None),
        Err(failures) => (view(endpoints, since, &list, false).await, Some(failures)),
    }
}

async fn view(endpoints: &Endpoints, since: u64, list: &MemberList, linearizable: bool) -> View {
    let seen = join_all(list.members.iter().map(|member| see(endpoints, list, member))).await;
    // Whoever has heard of the latest term knows best who leads in it.
    let latest = seen.iter().filter_map(|(_, status)| status.as_ref()).max_by_key(|status| status.raft_term);
    let leader = latest.and_then(|status| status.leader).filter(|leader| is_listed(list, *leader));
    let members = seen.into_iter().map(|(member, _)| member).collect();
    View { since, cluster_id: Some(list.cluster), linearizable, leader, members }
}

fn is_listed(list: &MemberList, id: MemberId) -> bool {
    list.members.iter().any(|member| member.id == id)
}

/// One member: what the list says of it, and whether it answers, be it to clients or to members.
async fn see(endpoints: &Endpoints, list: &MemberList, member: &ListedMember) -> (ObservedMember, Option<Status>) {
    let (probe, peer) = tokio::join!(endpoints.probe(member, ANSWER), answers_peers(endpoints, list, member));
    let reachable = peer || probe != Probe::Silent;
    let status = if let Probe::Up(status) = probe { Some(status) } else { None };
    let seen = ObservedMember {
        id: member.id,
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        learner: member.learner,
        reachable,
        applied_index: status.as_ref().map(|status| status.applied_index),
    };
    (seen, status)
}

/// Whether a member of this cluster answers at a member's peer URLs, or somebody who does not let this node in or whom
/// it does not trust: that may be the member all the same, alive and well.
async fn answers_peers(endpoints: &Endpoints, list: &MemberList, member: &ListedMember) -> bool {
    let urls = member.peer_urls.iter();
    let mut answers: FuturesUnordered<_> = urls.map(|url| endpoints.peers().members(url, ANSWER)).collect();
    while let Some(answer) = answers.next().await {
        let is_there = match answer {
            Ok(theirs) => theirs.cluster == list.cluster,
            Err(error) => is_answer(&error),
        };
        if is_there {
            return true;
        }
    }
    false
}

/// The list that the first of these peers shows which answers.
async fn list_of_peers(peers: &PeerClient, peer_urls: &[PeerUrl]) -> Option<MemberList> {
    let mut answers: FuturesUnordered<_> = peer_urls.iter().map(|url| peers.members(url, ANSWER)).collect();
    while let Some(answer) = answers.next().await {
        if let Ok(list) = answer {
            return Some(list);
        }
    }
    None
}

fn client_urls(list: &MemberList) -> BTreeSet<ClientUrl> {
    list.members.iter().flat_map(|member| member.client_urls.iter().cloned()).collect()
}
