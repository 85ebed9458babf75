use convene_lifecycle::{ObservedMember, View};

use crate::{
    etcd::Etcd,
    world::{World, name, peer_url},
};

/// What a node sees that looks now, after an answer that told it the registry's present revision.
pub fn look(world: &World, node: usize) -> View {
    let since = world.cluster.revision;
    let nobody = View { since, cluster: None, linearizable: false, leader: None, term: None, members: Vec::new() };
    let Some(etcd) = answering(world, node) else { return nobody };
    if world.nodes[node].cut {
        return View { cluster: Some(etcd.id), ..nobody };
    }
    let linearizable = world.has_quorum(etcd);
    let leader = etcd.voters().find(|voter| linearizable && world.is_up(etcd, voter)).map(|voter| voter.id);
    let members = etcd.members.iter().map(|entry| {
        let reachable = world.is_up(etcd, entry);
        ObservedMember {
            id: entry.id,
            name: entry.named.then(|| name(entry.node)),
            peer_urls: vec![peer_url(entry.node)],
            client_urls: Vec::new(),
            learner: entry.learner,
            reachable,
            identified: reachable,
            received_bytes: None,
            round_trips: None,
            version: None,
            applied_index: reachable.then_some(1),
        }
    });
    View { since, cluster: Some(etcd.id), linearizable, leader, term: None, members: members.collect() }
}

/// The etcd cluster that answers at the present members' addresses: the node's own if it runs one, else the one that
/// the registry looks after, else whichever is there.
fn answering(world: &World, node: usize) -> Option<&Etcd> {
    let own = &world.nodes[node];
    if own.running {
        return own.disk.and_then(|disk| world.etcd(disk.cluster));
    }
    let answers = |etcd: &&Etcd| etcd.members.iter().any(|entry| !own.cut && world.is_up(etcd, entry));
    world.current().filter(answers).or_else(|| world.etcds.iter().find(answers))
}
