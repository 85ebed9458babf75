//! A ticket lives on progress, and a place is given only to a node that can hold it.
//!
//! The time until full strength is printed and not asserted, because it depends on the load of the machine. It should be at most
//! `dead_after`, 5 s here, and 30 s.

use std::time::Instant;

use convene_harness::{Place, etcd::Version, network::Network};

use super::{assert_nothing_archived, form};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Registry, with_each},
};

/// The cluster's etcd is too new for the joining node's.
#[test]
fn a_node_that_cannot_join_loses_its_place_to_one_that_can() {
    let (Some(old), Some(new)) = (Version::find("3.4"), Version::find("3.6")) else { return };
    let registry = Registry::new(3);
    let machines = form(&new, &registry, 3);
    let unable = Machine::start(&old, &registry, "infra3");
    unable.wait_for_log("stand_by (full)", LIMIT);

    machines[1].stop();
    let died = Instant::now();
    unable.wait_for_log("add_member", LIMIT);
    let able = Machine::start(&new, &registry, "infra4");
    wait_until_whole(&new, &[&machines[0], &machines[2], &able], LIMIT);
    println!("full strength {:?} after the death", died.elapsed());
}

/// The holder of the ticket reaches the registry, but not the etcds any more.
#[test]
fn a_holder_that_is_cut_off_from_etcd_loses_its_ticket() {
    with_each(Version::oldest_and_newest(), |version| {
        let Some(network) = Network::new(5) else { return };
        let registry = Registry::in_network(&network, 3);
        let machine = |number: usize| {
            let place = Place::on_host(&network.hosts[number]);
            Machine::start_at(place, version, &registry, &format!("infra{number}"), &[])
        };
        let machines: Vec<Machine> = (0..3).map(machine).collect();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        let holder = machine(3);
        holder.wait_for_log("stand_by (full)", LIMIT);
        machines[1].stop();
        let died = Instant::now();
        holder.wait_for_log("remove_member", LIMIT);
        for other in &network.hosts[..3] {
            network.hosts[3].cut_to(&other.address);
        }
        let able = machine(4);
        wait_until_whole(version, &[&machines[0], &machines[2], &able], LIMIT);
        println!("etcd {}: full strength {:?} after the death", version.name, died.elapsed());
    });
}

/// Other members can't reach the peer URL that the node advertises.
#[test]
fn a_learner_whose_peer_url_nobody_reaches_is_not_promoted() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(2);
        let machines = form(version, &registry, 2);
        registry.administer(&["cluster", "resize", "3"]);
        let hidden = Machine::start_at(Place::with_unreachable_peer_url(), version, &registry, "infra2", &[]);
        hidden.wait_for_log("add_member", LIMIT);
        let able = Machine::start(version, &registry, "infra3");
        wait_until_whole(version, &[&machines[0], &machines[1], &able], LIMIT);
        assert_nothing_archived(&machines);
    });
}

#[test]
fn a_waiting_spare_carries_out_an_eviction_and_takes_the_place() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);
        registry.administer(&["member", "evict", "infra1"]);
        wait_until_whole(version, &[&machines[0], &machines[2], &spare], LIMIT);
    });
}

#[test]
fn a_waiting_spare_carries_out_a_smaller_size() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);
        registry.administer(&["cluster", "resize", "2"]);
        let endpoints: Vec<&str> = machines.iter().map(|machine| machine.place.client_url.as_str()).collect();
        let shrunk = || {
            let lists = endpoints.iter().filter_map(|url| {
                convene_harness::cluster::member_list(version, &machines[0].place.access(), url).ok()
            });
            lists.map(|list| list.len()).min().filter(|members| *members == 2)
        };
        convene_harness::wait_for(LIMIT, shrunk).expect("the cluster shrinks to two members");
    });
}
