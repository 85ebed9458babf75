//! The first etcd of a new cluster fails on some nodes.

use std::{fs, net::TcpListener, sync::Arc};

use convene_harness::{Place, cluster::wait_until_members, etcd::Version, free_port, wait_for};

use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Node, Registry, join_together, wait_until_healthy, with_each},
};

/// The peer ports of two founders are in use: their etcds exit before they have written anything. The third runs.
#[test]
fn founders_without_data_name_the_founder_to_restart() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let places: Vec<Place> = (0..3).map(|_| Place::new()).collect();
        let in_use: Vec<TcpListener> = places[..2].iter().map(|place| listen(&place.peer_url)).collect();
        let start = |(number, place)| Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        let machines: Vec<Machine> = places.into_iter().enumerate().map(start).collect();
        for waiting in &machines[..2] {
            let line = waiting.wait_for_log("more than half of the founders have no usable data", LIMIT);
            assert!(line.contains("wait (founders_missing)") && line.contains("so infra2 ("), "{line}");
            assert!(line.contains("restart etcd there with `convene run` or `convene join`"), "{line}");
        }
        drop(in_use);

        // As the message advises.
        machines[2].stop();
        machines[2].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_eq!(registry.get("")["epoch"], 2);
    });
}

/// The metrics ports of two founders are in use: their etcds exit after they have created a WAL. Then both nodes get other
/// addresses, while the third founder runs.
///
/// Some of these WALs have the founding entries, others have none: etcd 3.6 and later may exit before it writes them. With the
/// entries, etcd finds the third founder. Without them, two founders can't.
#[test]
fn founders_that_have_moved_find_the_founder_that_runs_or_name_it() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let [first, second, mut third] = fail_first_starts(version, &registry, 2);
        let exists = || (registry.get("")["phase"] == "bootstrapped").then_some(());
        wait_for(LIMIT, exists).expect("the third founder reports that its etcd runs");
        let places = [&first, &second].map(|node| node.place.moved());
        let start = |(number, place)| Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        let moved: Vec<Machine> = places.into_iter().enumerate().map(start).collect();
        let serves = || third.etcdctl(&["endpoint", "health"]).is_ok();
        let name_third = || moved.iter().all(|machine| machine.log().contains("so infra2 ("));
        let has_to_restart = wait_for(LIMIT, || match name_third() {
            true => Some(true),
            false => serves().then_some(false),
        });
        if has_to_restart.expect("the founders have a leader, or wait for the third one") {
            let line = moved[0].wait_for_log("so infra2 (", LIMIT);
            assert!(line.contains("wait (founders_missing)") && line.contains("restart etcd there"), "{line}");
            third.kill();
            third.join(&[]);
        }
        let endpoints = [&moved[0].place.client_url, &moved[1].place.client_url, third.client_url()];
        wait_until_members(version, &third.access, &endpoints, 3, LIMIT);
    });
}

/// As above, but the third founder is stopped meanwhile.
#[test]
fn founders_that_have_moved_and_never_had_a_leader_bootstrap_again() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let [first, second, mut third] = fail_first_starts(version, &registry, 2);
        third.kill();
        let places = [&first, &second].map(|node| Arc::new(node.place.moved()));
        let start = |(number, place): (usize, Arc<Place>)| {
            Machine::start_at(place, version, &registry, &format!("infra{number}"), &[])
        };
        let mut machines: Vec<Machine> = places.into_iter().enumerate().map(start).collect();
        for waiting in &machines {
            let line = waiting.wait_for_log("etcd has never had a leader on this node's data", LIMIT);
            assert!(line.contains("wait (founders_missing)"), "{line}");
        }
        machines.push(start((2, third.place.clone())));
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_eq!(registry.get("")["epoch"], 2);
    });
}

/// The metrics ports of two founders are in use, and are free later. The supervisors start both again and again.
#[test]
fn founders_at_their_addresses_start_again() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let ports = [free_port(), free_port()];
        let in_use = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let places = [Place::with_metrics_port(ports[0]), Place::with_metrics_port(ports[1]), Place::new()];
        let start = |(number, place)| Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        let machines: Vec<Machine> = places.into_iter().enumerate().map(start).collect();
        let failed = || machines[..2].iter().all(|machine| machine.starts() >= 2).then_some(());
        wait_for(LIMIT, failed).expect("the supervisor starts etcd again and again");
        drop(in_use);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
    });
}

/// The metrics ports of all founders are in use at first, and their etcds exit before they write the founding entries.
#[test]
fn founders_whose_etcds_have_written_no_entry_form_the_cluster_later() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = fail_first_starts(version, &registry, 3);
        nodes.iter().for_each(lose_entries);
        join_together(&mut nodes);
        wait_until_healthy(&nodes);
        assert_eq!(registry.get("")["epoch"], 2);
    });
}

/// Reduces a WAL to what etcd writes when it creates one: a checksum, the IDs, and an empty snapshot
/// (`server/storage/wal/wal.go:Create`). Whether it exits before it writes further records is a matter of luck.
fn lose_entries(node: &Node) {
    let wal = node.place.data_dir().join("member/wal/0000000000000000-0000000000000000.wal");
    let mut content = fs::read(&wal).unwrap();
    let end = (0..3).fold(0, |at, _| {
        let length = u64::from_le_bytes(content[at..at + 8].try_into().unwrap());
        // The lower 56 bits are the length of the record, the upper ones that of its padding (`encoder.go:encodeFrameSize`).
        let (record, padding) = (length & ((1 << 56) - 1), (length >> 56) & 7);
        at + 8 + usize::try_from(record + padding).unwrap()
    });
    content[end..].fill(0);
    fs::write(&wal, content).unwrap();
}

/// Three founders are instructed to bootstrap. The etcds of the first `failing` ones exit after they have created a WAL; after
/// that, the others' start.
fn fail_first_starts(version: &Version, registry: &Registry, failing: usize) -> [Node; 3] {
    let ports: Vec<u16> = (0..failing).map(|_| free_port()).collect();
    let _in_use: Vec<TcpListener> = ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port)).unwrap()).collect();
    let place = |number| ports.get(number).map_or_else(Place::new, |port| Place::with_metrics_port(*port));
    let node = |number| Node::at(place(number), version, registry, &format!("infra{number}"));
    let mut nodes: [Node; 3] = std::array::from_fn(node);
    let mut joining = nodes.each_ref().map(|node| node.call("join", &[]).spawn());
    for (number, (node, joining)) in nodes.iter_mut().zip(&mut joining).enumerate() {
        node.start_with_result(joining);
        if number < failing {
            node.etcd().wait_for_exit(LIMIT);
            assert!(node.place.data_dir().join("member/wal").exists(), "{}", node.etcd().output());
        }
    }
    nodes
}

fn listen(url: &str) -> TcpListener {
    TcpListener::bind(url.trim_start_matches("http://")).unwrap()
}
