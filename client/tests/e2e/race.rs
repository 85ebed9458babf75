//! Several nodes join at the same moment, and one place is free.

use convene_harness::{Process, etcd::Version, wait_for};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

#[test]
fn of_two_joining_nodes_exactly_one_becomes_a_member() {
    with_each(Version::sample(), |version| race(version, 2, 2));
}

/// More nodes, and enough rounds that rare interleavings come up, which take minutes.
mod large {
    use super::*;

    #[test]
    fn of_two_joining_nodes_exactly_one_becomes_a_member() {
        with_each(Version::all(), |version| race(version, 2, 20));
    }

    #[test]
    fn of_five_joining_nodes_exactly_one_becomes_a_member() {
        with_each(Version::all(), |version| race(version, 5, 20));
    }
}

/// Replaces a member in each round, with several nodes that want its place.
fn race(version: &Version, newcomers: usize, rounds: usize) {
    let registry = Registry::new(3);
    let mut nodes = form(version, &registry, 3);
    for round in 0..rounds {
        // The oldest member leaves, so that each member is replaced in turn.
        let mut leaving = nodes.remove(0);
        remove_and_kill(&nodes[0], &mut leaving);

        let mut runners: Vec<(Node, Process)> = (0..newcomers)
            .map(|number| Node::new(version, &registry, &format!("round{round}-{number}")))
            .map(|node| {
                let joining = node.spawn_join(&[]);
                (node, joining)
            })
            .collect();
        let first = wait_for(LIMIT, || runners.iter_mut().position(|(_, joining)| !joining.is_running()));
        let first = first.unwrap_or_else(|| panic!("no node joins:\n{}", output(&runners)));
        let (mut winner, mut joining) = runners.swap_remove(first);
        winner.start_with_result(&mut joining);
        winner.promote();
        nodes.push(winner);
        wait_until_healthy(&nodes);
        for (node, joining) in &mut runners {
            joining.wait_for_stderr("stand_by (full)", LIMIT);
            assert!(joining.is_running(), "{} joined too: {}", node.name, joining.output());
        }
    }
}

/// Removes the member with etcdctl, so that its place is free at once, and kills its etcd.
fn remove_and_kill(remaining: &Node, leaving: &mut Node) {
    let id = leaving.member_id();
    remaining.remove_by_hand(&id);
    leaving.kill();
}

fn output(runners: &[(Node, Process)]) -> String {
    runners.iter().map(|(_, joining)| joining.output()).collect()
}
