use convene_lifecycle::{ObservedMember, View};

use crate::{
    etcd::Etcd,
    state::{State, name, peer_url},
};

/// The view of a node that observes the cluster now, right after an answer with the present revision.
pub fn observe(state: &State, node: usize) -> View {
    let since = state.cluster.revision;
    let nobody = View { since, cluster: None, linearizable: false, leader: None, term: None, members: Vec::new() };
    let Some(etcd) = answering(state, node) else { return nobody };
    if state.nodes[node].cut {
        return View { cluster: Some(etcd.id), ..nobody };
    }
    let linearizable = state.has_quorum(etcd);
    let leader = state.leader(etcd);
    let has_counters = state.cluster.cluster_id == Some(etcd.id) && leader.is_some();
    let members = etcd.members.iter().map(|entry| {
        let reachable = state.is_up(etcd, entry);
        ObservedMember {
            id: entry.id,
            name: entry.named.then(|| name(entry.node)),
            peer_urls: vec![peer_url(entry.node)],
            client_urls: Vec::new(),
            learner: entry.learner,
            reachable,
            identified: reachable,
            received_bytes: (has_counters && leader != Some(entry.id)).then(|| entry.received_bytes()),
            round_trips: (has_counters && leader != Some(entry.id)).then_some(u64::from(reachable)),
            version: None,
            applied_index: reachable.then_some(1),
            matched_index: None,
        }
    });
    View { since, cluster: Some(etcd.id), linearizable, leader, term: None, members: members.collect() }
}

/// The etcd cluster that answers at the members' addresses: the node's own if it runs etcd, else the one that the registry
/// manages, else any.
fn answering(state: &State, node: usize) -> Option<&Etcd> {
    let own = &state.nodes[node];
    if own.running {
        return own.disk.and_then(|disk| state.etcd(disk.cluster));
    }
    let answers = |etcd: &&Etcd| etcd.members.iter().any(|entry| !own.cut && state.is_up(etcd, entry));
    state.current().filter(answers).or_else(|| state.etcds.iter().find(answers))
}
