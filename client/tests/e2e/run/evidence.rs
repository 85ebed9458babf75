//! What an agent, or the registry on its word, must not take for evidence.

use std::time::Duration;

use convene_harness::{Place, etcd::Version};

use super::agent::{Agent, form, leader, wait_until_whole};
use crate::node::{Registry, with_each};

const NAMES: [&str; 3] = ["infra0", "infra1", "infra2"];

/// Each takes longer than a member may be silent.
mod large {
    use super::*;

    #[test]
    fn a_member_whose_etcd_accepts_connections_long_before_it_answers_keeps_its_place() {
        with_each(Version::oldest_and_newest(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &NAMES);
            let spare = Agent::start(version, &registry, "infra3");
            spare.wait_for_state("spare");
            let loading = &mut agents[2];
            loading.cut_power();
            loading.delay_etcd(Duration::from_secs(20));
            loading.run(&[]);
            loading.wait_for_log("loading");
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
            assert_eq!(spare.status().unwrap()["state"], "spare");
            assert!(!agents[2].log().contains("archive_data"), "{}", agents[2].log());
        });
    }

    #[test]
    fn a_learner_whose_peer_url_leads_to_the_leader_gets_no_vote() {
        with_each(Version::oldest_and_newest(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &NAMES);
            let mut mistaken =
                Agent::at(Place::with_peer_url_of(&agents[leader(&agents)].place), version, &registry, "infra3");
            mistaken.run(&[]);
            mistaken.wait_for_state("spare");
            let follower = (leader(&agents) + 1) % 3;
            agents[follower].cut_power();
            mistaken.wait_for_log("peer_url_unreachable");
            // The next one gets the place.
            let able = Agent::start(version, &registry, "infra4");
            agents.remove(follower);
            wait_until_whole(version, &[&agents[0], &agents[1], &able]);
            assert!(!mistaken.log().contains("promote (caught_up)"), "{}", mistaken.log());
        });
    }
}
