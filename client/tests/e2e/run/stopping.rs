//! How `convene run` stops etcd.

use std::net::TcpStream;

use convene_harness::{etcd::Version, wait_for};

use super::agent::{Agent, form, is_running, leader, member_ids, signal, wait_until_whole};
use crate::node::{LIMIT, Registry, with_each};

/// As `systemctl restart` does on one machine after the other.
#[test]
fn a_stop_and_a_start_change_no_membership_and_hand_the_leadership_over() {
    with_each(Version::sample(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        let spare = Agent::start(version, &registry, "infra3");
        spare.wait_for_state("spare");
        let before = member_ids(&registry);
        for _ in 0..3 {
            let number = leader(&agents);
            assert_eq!(agents[number].stop(), Some(0));
            let log = agents[number].log();
            assert!(log.contains("leads now"), "{log}");
            // It was announced, so the spare does not take the place.
            let name = agents[number].name.clone();
            spare.wait_for_log(&format!("{name} ("));
            assert!(spare.log().contains("its announced downtime lasts until"), "{}", spare.log());
            agents[number].run(&[]);
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        }
        assert_eq!(member_ids(&registry), before);
        let downtimes = wait_for(LIMIT, || {
            let members = registry.get("/members")["members"].clone();
            members.as_array().unwrap().iter().all(|member| member["downtime_until"].is_null()).then_some(())
        });
        downtimes.expect("the downtimes end when the members are back");
    });
}

#[test]
fn a_second_signal_kills_an_etcd_that_does_not_end() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agents = form(&version, &registry, &["infra0"]);
    let etcd = agents[0].etcd();
    signal(etcd, "STOP");
    agents[0].process().signal("TERM");
    agents[0].wait_for_state("stopping");
    agents[0].process().signal("TERM");
    assert_eq!(agents[0].wait_for_exit(), Some(137));
    assert!(!is_running(etcd));
}

#[test]
fn an_etcd_that_a_script_runs_has_ended_when_the_agent_ends() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agent = Agent::new(&version, &registry, "infra0");
    agent.put_script_before_etcd();
    agent.run(&[]);
    agent.wait_for_state("voter");
    let address = agent.place.client_url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    agent.stop();
    assert!(TcpStream::connect(&address).is_err(), "etcd runs on");
    assert!(agent.log().contains("closed etcd server"), "etcd was killed");
}

#[test]
fn an_etcd_that_does_not_end_in_time_is_killed() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut agent = Agent::start(&version, &registry, "infra0");
    agent.wait_for_state("voter");
    agent.kill_agent();
    let etcd = agent.adopted();
    signal(etcd, "STOP");
    assert_eq!(agent.stop(), Some(0));
    assert!(!is_running(etcd));
}

impl Agent {
    /// Starts an agent that takes over the etcd that runs, and returns that etcd's process ID.
    fn adopted(&mut self) -> u32 {
        self.run(&["--adopt", "--stop-timeout=1s"]);
        self.wait_for_state("voter");
        self.etcd()
    }
}

#[test]
fn leaving_on_stop_takes_the_member_with_it() {
    with_each(Version::newest_or_all(), |version| {
        let registry = Registry::new(3);
        let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
        let mut leaving = agents.remove(leader(&agents));
        leaving.cut_power();
        leaving.run(&["--leave-on-stop"]);
        leaving.wait_for_state("voter");
        assert_eq!(leaving.stop(), Some(0));
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        // At its next start, the node joins as a new member.
        leaving.run(&[]);
        agents.push(leaving);
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
    });
}
