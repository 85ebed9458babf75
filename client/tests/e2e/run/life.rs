//! A cluster in the hands of agents: it forms, heals, shrinks and grows.

use std::time::Instant;

use convene_harness::{Access, etcd::Version, wait_for, writer::Writer};

use super::agent::{Agent, archives, form, leader, wait_until_whole};
use crate::node::{LIMIT, Registry, wait_until_healthy, with_each};

#[test]
fn a_cluster_forms_keeps_a_spare_and_heals_itself() {
    with_each(Version::sample(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        let spare = Agent::start(version, &registry, "infra3");
        spare.wait_for_state("spare");
        assert_eq!(spare.get("/readyz").unwrap().0, 200);
        assert_eq!(spare.get("/spare").unwrap().0, 200);
        let endpoints: Vec<String> = agents.iter().map(|agent| agent.place.client_url.clone()).collect();
        let writer = Writer::start(&Access::default(), &endpoints.iter().map(String::as_str).collect::<Vec<_>>());

        let mut dead = agents.remove(leader(&agents));
        let died = Instant::now();
        dead.cut_power();
        dead.place.lose_disk();
        agents.push(spare);
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        println!(
            "etcd {}: the spare took the place {:.1} s after the death",
            version.name,
            died.elapsed().as_secs_f64()
        );
        let report = writer.finish();
        assert!(report.acknowledged > 0 && report.lost.is_empty(), "{report:?}");

        dead.run(&[]);
        dead.wait_for_state("spare");
    });
}

#[test]
fn the_node_that_a_smaller_cluster_does_not_need_becomes_a_spare_and_comes_back() {
    with_each(Version::newest_or_all(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        registry.administer(&["cluster", "resize", "2"]);
        let spare = wait_for(LIMIT, || {
            agents.iter().position(|agent| agent.get("/spare").is_some_and(|(code, _)| code == 200))
        });
        let spare = agents.remove(spare.expect("one node becomes a spare"));
        spare.wait_for_log("archive_data (removed_member)");
        assert!(!spare.place.data_dir().join("member").exists());
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());

        registry.administer(&["cluster", "resize", "3"]);
        agents.push(spare);
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
    });
}

#[test]
fn an_evicted_leader_leaves_and_stands_by() {
    with_each(Version::newest_or_all(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        let evicted = agents.remove(leader(&agents));
        let spare = Agent::start(version, &registry, "infra3");
        registry.administer(&["member", "evict", &evicted.name]);
        evicted.wait_for_state("spare");
        let log = evicted.log();
        assert!(log.contains("move_leader") && log.contains("archive_data (removed_member)"), "{log}");
        // If the agent asks etcd for its status at that moment, etcd panics, and its lines are needed.
        let is_explained = |line: &str| line.contains("etcd ended with exit code 0") && line.contains("its last lines");
        assert!(!log.lines().any(is_explained), "a clean end needs no explanation: {log}");
        assert!(archives(&evicted) == 1, "its data is kept");
        agents.push(spare);
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
    });
}

/// Node by node from `convene join` to `convene run`, and back.
#[test]
fn nodes_change_between_join_and_run() {
    with_each(Version::newest_or_all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = crate::node::form(version, &registry, 3);
        let mut agents = Vec::new();
        for node in &mut nodes {
            node.kill();
            let mut agent = Agent::new(version, &registry, &node.name);
            agent.place = node.place.clone();
            agent.run(&[]);
            agent.wait_for_state("voter");
            agents.push(agent);
        }
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        for (agent, node) in agents.iter_mut().zip(&mut nodes) {
            assert_eq!(agent.stop(), Some(0));
            node.join_and_promote();
        }
        wait_until_healthy(&nodes);
    });
}

/// A registry that is away changes nothing.
#[test]
fn etcd_goes_on_without_the_registry() {
    let Some(version) = Version::all().pop() else { return };
    let mut registry = Registry::new(3);
    let mut agents = form(&version, &registry, &["infra0", "infra1", "infra2"]);
    registry.crash();
    let away = wait_for(LIMIT, || agents[0].status().filter(|status| !status["registry"]["error"].is_null()));
    away.expect("the agent notices that the registry is away");
    assert_eq!(agents[0].get("/readyz").unwrap().0, 200);
    // A restart needs no registry either.
    assert_eq!(agents[1].stop(), Some(0));
    agents[1].run(&["--offline-grace=1s"]);
    wait_until_whole(&version, &agents.iter().collect::<Vec<_>>());
}

/// `convene run` is all that a node needs: nothing else was called for it.
#[test]
fn a_node_that_has_lost_its_disk_joins_again() {
    with_each(Version::newest_or_all(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        agents[1].cut_power();
        agents[1].place.lose_disk();
        agents[1].run(&[]);
        agents[1].wait_for_log("join (");
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
    });
}
