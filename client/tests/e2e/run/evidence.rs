//! What an agent, or the registry on its word, must not take for evidence.

use std::{fs, time::Duration};

use convene_harness::{Place, etcd::Version, wait_for};

use super::agent::{Agent, archives, form, leader, member_ids, wait_until_whole};
use crate::node::{LIMIT, Registry, copy_directory, with_each};

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

    /// The disk of a member goes back to a copy. All that its agent has sent since are check-ins without a view.
    #[test]
    fn a_member_whose_disk_is_an_older_copy_joins_anew() {
        with_each(Version::oldest_and_newest(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &NAMES);
            let member = (leader(&agents) + 1) % 3;
            agents[member].stop();
            let data = agents[member].place.data_dir().to_owned();
            copy_directory(&data, &data.with_file_name("copy"));
            agents[member].run(&[]);
            agents[member].wait_for_state("voter");
            let endpoint = agents[member].place.client_url.clone();
            for key in 0..100 {
                version.etcdctl(&endpoint, &["put", &format!("key{key}"), "value"]).unwrap();
            }
            let applied = || {
                let nodes = registry.get("/nodes")["nodes"].clone();
                let node = nodes.as_array()?.iter().find(|node| node["name"] == NAMES[member])?;
                node["etcd"]["raft_applied_index"].as_u64()
            };
            wait_for(LIMIT, || (applied()? > 100).then_some(())).expect("the agent checks in");
            agents[member].cut_power();
            fs::rename(&data, data.with_file_name("newest")).unwrap();
            fs::rename(data.with_file_name("copy"), &data).unwrap();
            agents[member].run(&[]);
            agents[member].wait_for_log("remove_member (data_rolled_back)");
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
            assert_eq!(archives(&agents[member]), 1);
        });
    }

    /// The mount of the log is missing at one start, which looks like a disk that was lost.
    #[test]
    fn a_member_whose_log_is_on_a_missing_mount_keeps_its_place_until_it_is_back() {
        with_each(Version::oldest_and_newest(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &NAMES);
            let members = member_ids(&registry);
            assert_eq!(agents[1].stop(), Some(0));
            registry.administer(&["member", "downtime", NAMES[1], "1h", &registry.url]);
            let elsewhere = agents[1].place.data_dir().with_file_name("not-mounted");
            agents[1].etcd_flags.push(format!("--wal-dir={}", elsewhere.display()));
            agents[1].run(&[]);
            agents[1].wait_for_log("if a disk is not mounted, mount it");
            assert_eq!(agents[1].stop(), Some(0));
            agents[1].etcd_flags.pop();
            agents[1].run(&[]);
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
            assert_eq!((member_ids(&registry), archives(&agents[1])), (members, 0));
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
