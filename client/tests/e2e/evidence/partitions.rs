//! One-way cuts between machines.

use std::time::Duration;

use convene_harness::{Place, etcd::Version, network::Network, wait_for};

use super::leader_of;
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Registry, with_each},
};

#[test]
fn a_leader_that_only_a_spare_cannot_reach_is_not_removed() {
    with_each(Version::oldest_and_newest(), |version| {
        let Some(network) = Network::new(4) else { return };
        let registry = Registry::in_network(&network, 3);
        let machine = |number: usize| {
            let place = Place::on_host(&network.hosts[number]);
            Machine::start_at(place, version, &registry, &format!("infra{number}"), &[])
        };
        let members = [machine(0), machine(1), machine(2)];
        let members: Vec<&Machine> = members.iter().collect();
        wait_until_whole(version, &members, LIMIT);
        let spare = machine(3);
        spare.wait_for_log("stand_by (full)", LIMIT);

        let leader = leader_of(version, &members);
        network.hosts[3].cut_to(&network.hosts[leader].address);
        // Four times as long as a member must be silent to count as dead.
        let removed = wait_for(Duration::from_secs(20), || spare.log().contains("remove_member").then_some(()));
        assert_eq!(removed, None, "{}", spare.log());
        wait_until_whole(version, &members, LIMIT);
    });
}
