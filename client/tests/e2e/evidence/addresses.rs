//! Members that move.

use std::sync::Arc;

use convene_harness::{Place, etcd::Version};

use super::{assert_nothing_archived, form, member_id};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Node, Registry, with_each},
};

/// DHCP gives two of three members each other's address.
#[test]
fn two_members_that_swap_their_addresses_serve_again() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut machines = form(version, &registry, 3);
        let swapped = [
            Place::at_address_of(&machines[0].place, &machines[1].place),
            Place::at_address_of(&machines[1].place, &machines[0].place),
        ];
        machines[..2].iter().for_each(Machine::stop);
        for (number, place) in swapped.into_iter().enumerate() {
            machines[number] = Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        }
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

#[test]
fn a_mistyped_address_moves_no_member_that_runs() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let id = member_id(version, &machines[0]);
        machines[2].stop();
        let place = &machines[0].place;
        let mistyped = Node::at(place.clone(), version, &registry, "infra0")
            .call("promote", &["--timeout=5s", "--initial-advertise-peer-urls=http://127.0.0.1:1"])
            .run(LIMIT);
        let list = version.etcdctl(&machines[1].place.client_url, &["member", "list"]).unwrap();
        let own = list.lines().find(|line| line.starts_with(&id)).unwrap();
        assert!(own.contains(&place.peer_url), "{list}\n{}", mistyped.stderr);
    });
}

/// A copy of a member's machine comes up at another address while the member runs.
#[test]
fn a_copy_of_a_running_member_does_not_start() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let copies: Vec<Machine> = machines
            .iter()
            .map(|machine| Machine::start_at(Arc::new(machine.place.copied()), version, &registry, &machine.name, &[]))
            .collect();
        for (copy, original) in copies.iter().zip(&machines) {
            let refusal = copy.wait_for_log("runs_elsewhere", LIMIT);
            assert!(
                refusal.contains(&original.place.client_url) || refusal.contains(&original.place.peer_url),
                "{refusal}"
            );
        }
        assert!(copies.iter().all(|copy| copy.starts() == 0));
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}
