//! Cuts between machines.

use std::time::Duration;

use convene_harness::{Place, etcd::Version, network::Network, wait_for};

use super::leader_of;
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Node, Registry, with_each},
};

#[test]
fn a_leader_that_only_a_spare_cannot_reach_is_not_removed() {
    with_each(Version::oldest_and_newest(), |version| {
        let Some(network) = Network::new(4) else { return };
        let (registry, members) = form(version, &network);
        let members: Vec<&Machine> = members.iter().collect();
        let spare = Machine::start_at(Place::on_host(&network.hosts[3]), version, &registry, "infra3", &[]);
        spare.wait_for_log("stand_by (full)", LIMIT);

        let leader = leader_of(version, &members);
        network.hosts[3].cut_to(&network.hosts[leader].address);
        // Four times as long as a member must be silent to count as dead.
        let removed = wait_for(Duration::from_secs(20), || spare.log().contains("remove_member").then_some(()));
        assert_eq!(removed, None, "{}", spare.log());
        wait_until_whole(version, &members, LIMIT);
    });
}

#[test]
fn a_copy_that_cannot_reach_the_member_does_not_start() {
    with_each(Version::oldest_and_newest(), |version| {
        let Some(network) = Network::new(4) else { return };
        let (registry, members) = form(version, &network);
        let members: Vec<&Machine> = members.iter().collect();
        let original = (leader_of(version, &members) + 1) % 3;
        members[original].stop();
        let elsewhere = members[original].place.copied_to(Place::on_host(&network.hosts[3]));
        members[original].go_on();
        wait_until_whole(version, &members, LIMIT);
        network.hosts[3].cut_to(&network.hosts[original].address);
        network.hosts[original].cut_to(&network.hosts[3].address);

        // With the configuration of the original, and with its own address.
        for place in [elsewhere.at_address_of(&members[original].place), elsewhere] {
            let copy = Node::at(place, version, &registry, &format!("infra{original}"));
            let ended = copy.call("join", &["--timeout=20s"]).run(LIMIT);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
            let is_heard = ["the leader receives messages from member", "wait (runs_elsewhere)"];
            assert!(is_heard.iter().any(|found| ended.stderr.contains(found)), "{}", ended.stderr);
        }
        wait_until_whole(version, &members, LIMIT);
    });
}

#[test]
fn a_member_moves_although_its_old_address_drops_packets() {
    with_each(Version::oldest_and_newest(), |version| {
        let Some(network) = Network::new(4) else { return };
        let (registry, members) = form(version, &network);
        wait_until_whole(version, &members.iter().collect::<Vec<_>>(), LIMIT);
        members[0].stop();
        for host in &network.hosts[1..] {
            host.cut_to(&network.hosts[0].address);
        }
        let moved = members[0].place.moved_to(&network.hosts[3]);
        let moved = Machine::start_at(moved, version, &registry, "infra0", &[]);
        wait_until_whole(version, &[&moved, &members[1], &members[2]], LIMIT);
        assert!(moved.log().contains("update_member"), "{}", moved.log());
    });
}

/// Three members on the first machines of a network.
fn form(version: &Version, network: &Network) -> (Registry, [Machine; 3]) {
    let registry = Registry::in_network(network, 3);
    let members = [0, 1, 2].map(|number| {
        let place = Place::on_host(&network.hosts[number]);
        Machine::start_at(place, version, &registry, &format!("infra{number}"), &[])
    });
    wait_until_whole(version, &members.iter().collect::<Vec<_>>(), LIMIT);
    (registry, members)
}
