//! Without a quorum nothing can be decided. The messages distinguish lost members from members whose addresses have all changed.

use std::fs;

use convene_harness::{Process, etcd::Version, wait_for};

use super::{archives, assert_nothing_archived, copies::start_drill, form};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{self, LIMIT, Node, Registry, wait_until_healthy, with_each},
};

/// Two of three disks are gone. Later one of them is repaired.
#[test]
fn a_lost_quorum_is_reported_with_the_ways_out() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        wait_until_known(&registry, &machines);
        let repaired = machines[1].place.data_dir().with_extension("repaired");
        machines[1..].iter().for_each(Machine::stop);
        fs::rename(machines[1].place.data_dir(), &repaired).unwrap();
        machines[2].place.lose_disk();
        machines[1..].iter().for_each(Machine::go_on);
        for empty in &machines[1..] {
            assert_names_the_ways_out(&empty.wait_for_log("wait (no_quorum)", LIMIT));
        }
        machines[0].stop();
        machines[0].go_on();
        let start = machines[0].wait_for_log("this node sees no quorum", LIMIT);
        assert!(start.contains("start (own_data)"), "{start}");
        assert!(
            start.contains("no answer from infra") && start.contains("infra1 (") && start.contains("infra2 ("),
            "{start}"
        );
        assert_names_the_ways_out(&start);
        let shown = wait_for(LIMIT, || {
            let shown = registry.administer(&["status"]);
            shown.contains("Quorum:       no, seen from here: 1 of 3 voters answer").then_some(shown)
        });
        let shown = shown.expect("status shows the lost quorum");
        assert!(!shown.contains("address has changed"), "{shown}");
        assert!(machines[1..].iter().all(|machine| machine.starts() == 1), "no empty node may found a second cluster");

        machines[1].stop();
        fs::rename(&repaired, machines[1].place.data_dir()).unwrap();
        machines[1].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

/// An administrator forces a new cluster on one of three members, and adopts it. The other two come back with their old data while the
/// first one is down.
#[test]
fn members_that_were_given_up_form_no_second_cluster() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = node::form(version, &registry, 3);
        nodes.iter_mut().for_each(Node::kill);
        let forced = start_drill(version, &nodes[0].place, &[]);
        registry.administer(&["cluster", "adopt", &registry.url, "--endpoints", nodes[0].client_url()]);
        let written = wait_for(LIMIT, || forced.etcdctl(&["put", "key", "acknowledged"]).ok());
        written.expect("the new cluster takes writes");
        drop(forced);

        let [first, others @ ..] = &mut nodes[..] else { unreachable!() };
        let mut waiting: Vec<Process> = others.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &waiting {
            let line = joining.wait_for_stderr("wait (given_up)", LIMIT);
            assert!(line.contains("Start infra0 (") && line.contains("convene cluster adopt"), "{line}");
        }
        first.join(&[]);
        let promotes = |node: &mut Node, joining: &mut Process| {
            node.start_with_result(joining);
            node.promote();
        };
        std::thread::scope(|scope| {
            for (node, joining) in others.iter_mut().zip(&mut waiting) {
                scope.spawn(|| promotes(node, joining));
            }
        });
        wait_until_healthy(&nodes);
        for node in &nodes[1..] {
            assert!(node.etcdctl(&["get", "key"]).unwrap().contains("acknowledged"));
            assert_eq!(archives(&node.place).len(), 1);
        }
    });
}

/// Waits until the registry knows that all members have run. Until then, nodes without data may be founders that never ran.
fn wait_until_known(registry: &Registry, machines: &[Machine]) {
    let known = wait_for(LIMIT, || {
        let events = registry.administer(&["cluster", "events"]);
        machines.iter().all(|machine| events.contains(&format!("{} started", machine.name))).then_some(())
    });
    known.unwrap_or_else(|| panic!("{}", registry.administer(&["cluster", "events"])));
}

fn assert_names_the_ways_out(line: &str) {
    for words in [
        "start etcd on these nodes",
        "lost for good, start a new cluster from the data of a member (--force-new-cluster) or from a snapshot",
    ] {
        assert!(line.contains(words), "{line}");
    }
    assert!(!line.contains("addresses may have changed"), "{line}");
}

#[test]
fn addresses_that_have_all_changed_are_reported_and_help_once_they_are_back() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        machines.iter().for_each(Machine::stop);
        let start = |machine: &Machine, place| Machine::start_at(place, version, &registry, &machine.name, &[]);
        let moved: Vec<Machine> = machines.iter().map(|machine| start(machine, machine.place.moved())).collect();
        for (moved, former) in moved.iter().zip(&machines) {
            let line = moved.wait_for_log("so all addresses may have changed at once", LIMIT);
            assert!(line.contains("start (own_data)"), "{line}");
            let change = format!("have changed from {} to {}", former.place.peer_url, moved.place.peer_url);
            let remedy = "give the nodes their old addresses, or restore a snapshot (etcdutl snapshot restore), then \
                          run `convene cluster adopt`";
            assert!(line.contains(&change) && line.contains(remedy), "{line}");
        }
        let warning = format!(
            "Warning: infra0 now reports the peer URLs {}, but etcd's list has {}: its address has changed",
            moved[0].place.peer_url, machines[0].place.peer_url
        );
        let shown = registry.administer(&["status"]);
        assert!(shown.contains(&warning) && !shown.contains("Quorum:       yes"), "{shown}");

        drop(moved);
        machines.iter().for_each(Machine::go_on);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}
