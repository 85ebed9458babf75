//! Observes an etcd cluster: lists its members and probes each of them.
//!
//! An observation takes a few seconds at most, and all members are probed at the same time. Probes that lie far apart
//! would be no evidence of one outage.

use std::{collections::BTreeSet, time::Duration};

use convene_etcd::{ListedMember, MemberList, PeerClient, PeerMetrics, Status};
use convene_lifecycle::{ClientUrl, ClusterId, Identity, MemberId, PeerUrl};
use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt},
};

use crate::{
    boot_clock::BootInstant,
    connections::{Connections, Failures, Probe, proves_alive},
    registry::{ObservedMember, View},
};

/// How long a linearizable member list may take. An election has to fit in.
pub const LIST_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How long one member may take to answer a probe.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The URLs under which a cluster may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// etcd's cluster ID, if it is known.
    pub cluster_id: Option<ClusterId>,
    /// The client URLs of its members.
    pub client_urls: BTreeSet<ClientUrl>,
    /// The peer URLs of its members.
    pub peer_urls: Vec<PeerUrl>,
}

impl Addresses {
    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.client_urls.is_empty() && self.peer_urls.is_empty()
    }

    /// These addresses, without those that others have, too.
    pub fn without(mut self, others: &Self) -> Self {
        self.client_urls.retain(|url| !others.client_urls.contains(url));
        self.peer_urls.retain(|url| !others.peer_urls.contains(url));
        self
    }
}

/// Lists the members of a cluster, through the quorum if possible, and probes each of them. `since` is the revision of
/// the last instruction.
///
/// Without a quorum, the list comes from a peer port. The failures then tell why the quorum could not be read.
pub async fn observe(connections: &Connections, addresses: &Addresses, since: u64) -> (View, Option<Failures>) {
    let (quorum_list, peer_list) = tokio::join!(
        connections.list(&addresses.client_urls, addresses.cluster_id, LIST_TIMEOUT),
        list_from_peers(connections.peers(), addresses)
    );
    let failures = match quorum_list {
        Ok((_, list)) => return (probe_all(connections, since, &list, true).await, None),
        Err(failures) => failures,
    };
    let Some(list) = peer_list else {
        let nothing =
            View { since, cluster_id: None, linearizable: false, leader: None, term: None, members: Vec::new() };
        return (nothing, Some(failures));
    };
    // The members may have client URLs that the registry does not know.
    let listed_urls = client_urls(&list);
    if listed_urls.is_subset(&addresses.client_urls) {
        return (probe_all(connections, since, &list, false).await, Some(failures));
    }
    match connections.list(&listed_urls, Some(list.cluster), LIST_TIMEOUT).await {
        Ok((_, list)) => (probe_all(connections, since, &list, true).await, None),
        Err(failures) => (probe_all(connections, since, &list, false).await, Some(failures)),
    }
}

/// A member as its probe found it.
struct Probed {
    member: ObservedMember,
    status: Option<Status>,
    /// What the member has heard from its peers, if it is the leader.
    metrics: Option<PeerMetrics>,
    /// Whether it is a learner, and another member answers at its peer URLs.
    misleads: bool,
}

/// Probes each member of a list. `linearizable`: it was read through the quorum.
pub async fn probe_all(connections: &Connections, since: u64, list: &MemberList, linearizable: bool) -> View {
    let probed = join_all(list.members.iter().map(|member| probe(connections, list, member))).await;
    // The member with the latest term knows the present leader.
    let latest = probed.iter().filter_map(|probed| probed.status.as_ref()).max_by_key(|status| status.raft_term);
    let term = latest.map(|status| status.raft_term);
    let leader = latest.and_then(|status| status.leader).filter(|leader| is_listed(list, *leader));
    // A former leader may not know yet that it is not the leader any more.
    let inside = probed.iter().find(|probed| Some(probed.member.id) == leader);
    let inside = inside.filter(|probed| probed.status.as_ref().map(|status| status.raft_term) == term);
    let heard = inside.and_then(|probed| probed.metrics.clone());
    let members = probed.into_iter().map(|Probed { member, misleads, .. }| {
        // The leader's probes of a learner that misleads have reached another member.
        let round_trips = |metrics: &PeerMetrics| if misleads { 0 } else { metrics.round_trips(member.id) };
        let heard = heard.as_ref().filter(|_| Some(member.id) != leader);
        ObservedMember {
            received_bytes: heard.map(|metrics| metrics.received_bytes(member.id)),
            round_trips: heard.map(round_trips),
            matched_index: heard.and_then(|metrics| metrics.matched(member.id)),
            ..member
        }
    });
    View { since, cluster_id: Some(list.cluster), linearizable, leader, term, members: members.collect() }
}

fn is_listed(list: &MemberList, id: MemberId) -> bool {
    list.members.iter().any(|member| member.id == id)
}

/// Probes one member. It is reachable if it answers at its client port or at its peer port.
async fn probe(connections: &Connections, list: &MemberList, member: &ListedMember) -> Probed {
    let ((probe, metrics), peer_answers, misleads) = tokio::join!(
        probe_client_port(connections, member),
        probe_peer_port(connections, list.cluster, member),
        misleads(connections, list.cluster, member)
    );
    let reachable = peer_answers || matches!(probe, Probe::Up(_) | Probe::Answers);
    let (status, instead) = match probe {
        Probe::Up(status) => (Some(status), None),
        Probe::Other(other) => (None, Some(other)),
        Probe::Answers | Probe::Silent => (None, None),
    };
    let observed = ObservedMember {
        id: member.id,
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        learner: member.learner,
        reachable,
        identified: status.is_some(),
        received_bytes: None,
        round_trips: None,
        version: status.as_ref().and_then(|status| status.version.parse().ok()),
        applied_index: status.as_ref().map(|status| status.applied_index),
        matched_index: None,
        instead,
    };
    Probed { member: observed, status, metrics, misleads }
}

/// The status of a member, and its metrics if it is the leader. Both together take no longer than a probe may.
async fn probe_client_port(connections: &Connections, member: &ListedMember) -> (Probe, Option<PeerMetrics>) {
    let began = BootInstant::now();
    let probe = connections.probe(member, PROBE_TIMEOUT).await;
    let metrics = match &probe {
        Probe::Up(status) if status.leader == Some(member.id) => {
            connections.leader_metrics(member, PROBE_TIMEOUT.saturating_sub(began.elapsed())).await
        }
        _ => None,
    };
    (probe, metrics)
}

/// Whether a member of this cluster answers at one of the peer URLs.
///
/// An etcd that rejects this node, or whose certificate this node rejects, counts as an answer: it may well be the
/// member, alive and healthy.
pub async fn probe_peer_port(connections: &Connections, cluster: ClusterId, member: &ListedMember) -> bool {
    let urls = member.peer_urls.iter();
    let mut answers: FuturesUnordered<_> = urls.map(|url| connections.peers().members(url, PROBE_TIMEOUT)).collect();
    while let Some(answer) = answers.next().await {
        let is_alive = match answer {
            Ok(theirs) => theirs.cluster == cluster,
            Err(error) => proves_alive(&error),
        };
        if is_alive {
            return true;
        }
    }
    false
}

/// Whether a member is a learner at whose peer URLs another member answers, as at a URL that every machine has for itself.
async fn misleads(connections: &Connections, cluster: ClusterId, member: &ListedMember) -> bool {
    if !member.learner {
        return false;
    }
    let own = Identity { member: member.id, cluster };
    let answers =
        join_all(member.peer_urls.iter().map(|url| connections.peers().runs_as(url, own, PROBE_TIMEOUT))).await;
    let is_answered_by = |itself: bool| answers.iter().any(|answer| answer.as_ref().is_ok_and(|is| *is == itself));
    is_answered_by(false) && !is_answered_by(true)
}

/// The member list of the first peer that answers. The expected cluster has precedence.
async fn list_from_peers(peers: &PeerClient, addresses: &Addresses) -> Option<MemberList> {
    let urls = addresses.peer_urls.iter();
    let mut answers: FuturesUnordered<_> = urls.map(|url| peers.members(url, PROBE_TIMEOUT)).collect();
    let mut of_another_cluster = None;
    while let Some(answer) = answers.next().await {
        // An etcd that is loading its log lists nobody.
        let Some(list) = answer.ok().filter(|list| !list.members.is_empty()) else { continue };
        if addresses.cluster_id.is_none_or(|expected| expected == list.cluster) {
            return Some(list);
        }
        of_another_cluster.get_or_insert(list);
    }
    of_another_cluster
}

fn client_urls(list: &MemberList) -> BTreeSet<ClientUrl> {
    list.members.iter().flat_map(|member| member.client_urls.iter().cloned()).collect()
}
