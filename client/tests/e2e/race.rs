//! Several newcomers want the one place that is free, at the same instant.

use convene_harness::{Process, etcd::Version, wait_for};

use crate::node::{LIMIT, Node, Registry, form, wait_until_whole, with_each};

/// How often each race is run.
const ROUNDS: usize = 20;

#[test]
fn of_two_newcomers_exactly_one_gets_in() {
    with_each(Version::all(), |version| race(version, 2));
}

#[test]
fn of_five_newcomers_exactly_one_gets_in() {
    with_each(Version::all(), |version| race(version, 5));
}

fn race(version: &Version, newcomers: usize) {
    let registry = Registry::new(3);
    let mut nodes = form(version, &registry, 3);
    for round in 0..ROUNDS {
        // The oldest makes room, so that everybody takes part in time.
        let mut leaving = nodes.remove(0);
        leave_to_etcd(&nodes[0], &mut leaving);

        let mut runners: Vec<(Node, Process)> = (0..newcomers)
            .map(|number| Node::new(version, &registry, &format!("round{round}-{number}")))
            .map(|node| {
                let joining = node.spawn_join(&[]);
                (node, joining)
            })
            .collect();
        let first = wait_for(LIMIT, || runners.iter_mut().position(|(_, joining)| !joining.is_running()));
        let first = first.unwrap_or_else(|| panic!("nobody gets in:\n{}", said(&runners)));
        let (mut winner, mut joining) = runners.swap_remove(first);
        winner.start_when_told(&mut joining);
        winner.promote();
        nodes.push(winner);
        wait_until_whole(&nodes);
        for (node, joining) in &mut runners {
            joining.wait_for_stderr("stand_by (full)", LIMIT);
            assert!(joining.is_running(), "{} got in, too: {}", node.name, joining.output());
        }
    }
}

/// The member is removed by hand, so that its place is free at once, and its etcd ends.
fn leave_to_etcd(remaining: &Node, leaving: &mut Node) {
    let id = leaving.member_id();
    remaining.remove_by_hand(&id);
    leaving.die();
}

fn said(runners: &[(Node, Process)]) -> String {
    runners.iter().map(|(_, joining)| joining.output()).collect()
}
