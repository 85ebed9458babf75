//! Members that move.

use std::sync::Arc;

use convene_harness::{Access, Place, cluster::member_list, etcd::Version, wait_for};

use super::{assert_nothing_archived, form, leader_of, member_id};
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
        let swapped = stop_and_swap(&machines);
        for (number, place) in swapped.into_iter().enumerate() {
            machines[number] = Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        }
        wait_until_at_own_addresses(version, &machines);
    });
}

/// The second one comes back when the first one leads. They can't reach each other: each has the other's address for its own
/// in etcd's list.
#[test]
fn a_member_returns_at_the_old_address_of_the_leader() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut machines = form(version, &registry, 3);
        let [first, second] = stop_and_swap(&machines);
        machines[1] = Machine::start_at(second, version, &registry, "infra1", &[]);
        wait_for(LIMIT, || lead(version, &machines[1], &machines[2]).ok()).expect("infra1 leads");
        machines[0] = Machine::start_at(first, version, &registry, "infra0", &[]);
        wait_until_at_own_addresses(version, &machines);
    });
}

/// Stops the first two machines, and returns their places at each other's address.
fn stop_and_swap(machines: &[Machine]) -> [Place; 2] {
    machines[..2].iter().for_each(Machine::stop);
    let (one, other) = (&machines[0].place, &machines[1].place);
    [Place::at_address_of(one, other), Place::at_address_of(other, one)]
}

/// Makes a machine's member the leader of it and another one.
fn lead(version: &Version, wanted: &Machine, other: &Machine) -> Result<(), String> {
    version.etcdctl(&wanted.place.client_url, &["endpoint", "health"])?;
    let leader = [wanted, other][leader_of(version, &[wanted, other])];
    if leader.name == wanted.name {
        return Ok(());
    }
    version.etcdctl(&leader.place.client_url, &["move-leader", &member_id(version, wanted)]).map(drop)
}

fn wait_until_at_own_addresses(version: &Version, machines: &[Machine]) {
    let all: Vec<&Machine> = machines.iter().collect();
    wait_until_whole(version, &all, LIMIT);
    let listed = || member_list(version, &Access::default(), &machines[2].place.client_url).unwrap();
    let is_updated = || {
        let list = listed();
        let is_listed = |machine: &Machine| {
            list.iter()
                .any(|member| member.name == machine.name && member.peer_urls == [machine.place.peer_url.clone()])
        };
        machines.iter().all(is_listed).then_some(())
    };
    wait_for(LIMIT, is_updated).unwrap_or_else(|| panic!("{:#?}\n{}\n{}", listed(), all[0].log(), all[1].log()));
    assert_nothing_archived(machines);
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
