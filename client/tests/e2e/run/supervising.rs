//! How `convene run` looks after the process of etcd.

use std::fs;

use convene_harness::{etcd::Version, wait_for};

use super::agent::{Agent, archives, form, is_running, signal, wait_until_whole};
use crate::node::{LIMIT, Registry};

#[test]
fn an_etcd_that_was_killed_is_started_again() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let agents = form(&version, &registry, &["infra0"]);
    let etcd = agents[0].etcd();
    signal(etcd, "KILL");
    agents[0].wait_for_log("etcd ended by signal 9; asking the registry what to do in 1s");
    let started = wait_for(LIMIT, || {
        let status = agents[0].status()?;
        (status["state"] == "voter" && status["restarts"] == 1 && status["process"] != etcd).then_some(status)
    });
    let status = started.unwrap_or_else(|| panic!("{}", agents[0].log()));
    assert_eq!(status["last_exit"]["signal"], 9, "{status}");
}

#[test]
fn etcd_outlives_its_agent_and_the_next_one_takes_it_over() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agents = form(&version, &registry, &["infra0"]);
    let etcd = agents[0].etcd();
    agents[0].kill_agent();
    assert!(is_running(etcd));
    agents[0].run(&[]);
    assert_eq!(agents[0].wait_for_exit(), Some(3));
    let refused = agents[0].wait_for_log("etcd is already running on");
    assert!(refused.contains("To take it over, run `convene run --adopt`"), "{refused}");
    agents[0].run(&["--adopt"]);
    agents[0].wait_for_state("voter");
    assert_eq!(agents[0].etcd(), etcd);
    // It notices the end of an etcd that is not its child.
    signal(etcd, "KILL");
    agents[0].wait_for_log("etcd ended; asking the registry what to do in 1s");
    wait_until_whole(&version, &agents.iter().collect::<Vec<_>>());
    assert_eq!(agents[0].stop(), Some(0));
    assert!(version.etcdctl(&agents[0].place.client_url, &["endpoint", "health"]).is_err());
}

#[test]
fn one_agent_at_a_time_looks_after_a_data_directory() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let agents = form(&version, &registry, &["infra0"]);
    let mut second = Agent::new(&version, &registry, "infra0");
    second.place = agents[0].place.clone();
    second.run(&["--adopt"]);
    assert_eq!(second.wait_for_exit(), Some(3));
    second.wait_for_log("another `convene join` or `convene run` is already running");
}

/// As if a filesystem was mounted late over the data directory: etcd has its files open.
#[test]
fn a_running_etcd_keeps_its_member_whatever_comes_to_the_path_of_its_data() {
    let Some(version) = Version::all().pop() else { return };
    let (registry, elsewhere) = (Registry::new(1), Registry::new(1));
    let mut other = form(&version, &elsewhere, &["other"]).remove(0);
    assert_eq!(other.stop(), Some(0));
    let mut agent = form(&version, &registry, &["infra0"]).remove(0);
    let data_dir = agent.place.data_dir();
    let kept = data_dir.with_file_name("kept");
    fs::rename(&data_dir, &kept).unwrap();
    fs::rename(other.place.data_dir(), &data_dir).unwrap();
    // The first check-in after the exchange may have begun before.
    for _ in 0..3 {
        let before = checked_in(&registry);
        let later = wait_for(LIMIT, || (checked_in(&registry) != before).then_some(()));
        later.unwrap_or_else(|| panic!("no check-in: {:?}\n{}", agent.status(), agent.log()));
    }
    assert_eq!(agent.status().unwrap()["state"], "voter", "{}", agent.log());
    assert_eq!(agent.get("/readyz").unwrap().0, 200);
    assert_eq!(agent.stop(), Some(0));
    agent.wait_for_log("announced to the registry: this node does not count as dead");
    assert!(!agent.log().contains("(not_answering)"), "{}", agent.log());

    fs::remove_dir_all(&data_dir).unwrap();
    fs::rename(&kept, &data_dir).unwrap();
    agent.run(&[]);
    wait_until_whole(&version, &[&agent]);
    assert_eq!(archives(&agent), 0);
}

/// When the only node has last checked in.
fn checked_in(registry: &Registry) -> String {
    registry.get("/nodes")["nodes"][0]["checked_in_at"].to_string()
}

/// The pause grows, and the log says what etcd said.
#[test]
fn an_etcd_that_fails_at_its_start_is_reported_with_its_last_lines() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agent = Agent::new(&version, &registry, "infra0");
    agent.break_etcd();
    agent.run(&[]);
    for pause in ["1s", "2s"] {
        agent.wait_for_log(&format!(
            "etcd ended with exit code 7; asking the registry what to do in {pause}; its last lines: no space left on device"
        ));
    }
    let status = agent.status().unwrap();
    assert_eq!(status["last_exit"]["code"], 7, "{status}");
    assert_eq!(agent.get("/readyz").unwrap().0, 503);
    assert_eq!(agent.stop(), Some(0));
}

/// The registry counts the starts, so that a spare may take the place in the end.
#[test]
fn starts_that_fail_on_data_are_counted() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agents = form(&version, &registry, &["infra0"]);
    agents[0].cut_power();
    agents[0].break_etcd();
    agents[0].run(&[]);
    let counted = wait_for(LIMIT, || {
        let members = registry.get("/members")["members"].clone();
        (members[0]["failed_starts"].as_u64()? >= 2).then_some(())
    });
    counted.unwrap_or_else(|| panic!("{}\n{}", registry.get("/members"), agents[0].log()));
}

/// The unit names the exit code in `RestartPreventExitStatus=`.
#[test]
fn a_node_with_a_name_that_is_taken_is_refused_for_good() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let agents = form(&version, &registry, &["infra0"]);
    let mut twin = Agent::start(&version, &registry, "infra0");
    assert_eq!(twin.wait_for_exit(), Some(6));
    twin.wait_for_log("refused: ");
    wait_until_whole(&version, &agents.iter().collect::<Vec<_>>());
}

#[test]
fn a_flag_that_this_etcd_does_not_have_is_refused_before_anything_is_done() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agent = Agent::new(&version, &registry, "infra0");
    agent.etcd_flags = vec!["--no-such-flag".to_owned()];
    agent.run(&[]);
    assert_eq!(agent.wait_for_exit(), Some(2));
}

#[test]
fn a_reload_reads_certificates_and_tokens_again_and_disturbs_nobody() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agents = form(&version, &registry, &["infra0"]);
    let etcd = agents[0].etcd();
    agents[0].process().signal("HUP");
    agents[0].wait_for_log("reload: certificates, keys and tokens were read again");
    wait_until_whole(&version, &agents.iter().collect::<Vec<_>>());
    assert_eq!(agents[0].etcd(), etcd);
}
