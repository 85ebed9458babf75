//! Nodes act on fresh evidence only. Each test shows one way in which memory or hearsay could do harm.

mod addresses;
mod copies;
mod disks;
mod first_starts;
mod hearsay;
mod leaving;
mod lost_quorum;
pub mod lying_registry;
mod metrics_ports;
mod own_verification;
mod partitions;
mod registries;
mod removals;
mod starts;
mod tickets;
mod twins;

use std::fs;

use convene_harness::{Place, etcd::Version, wait_for};

use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Registry},
};

/// Machines `infra0`, `infra1`, … that have formed a cluster.
fn form(version: &Version, registry: &Registry, size: usize) -> Vec<Machine> {
    let start = |number| Machine::start(version, registry, &format!("infra{number}"));
    let machines: Vec<Machine> = (0..size).map(start).collect();
    wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
    machines
}

/// All machines lose power at the same time, and start again.
fn cut_power(machines: &[Machine]) {
    machines.iter().for_each(Machine::stop);
    machines.iter().for_each(Machine::go_on);
}

/// No machine has set data aside.
#[track_caller]
fn assert_nothing_archived(machines: &[Machine]) {
    for machine in machines {
        let archives = archives(&machine.place);
        assert!(archives.is_empty(), "{} has archived {archives:?}:\n{}", machine.name, machine.log());
    }
}

/// What has been set aside at a place.
fn archives(place: &Place) -> Vec<String> {
    let parent = place.data_dir().parent().unwrap().to_owned();
    let entries = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name.contains("archived")).collect()
}

/// The ID of the member that runs on a machine.
fn member_id(version: &Version, machine: &Machine) -> String {
    let status = version.etcdctl(&machine.place.client_url, &["endpoint", "status", "-w", "json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    format!("{:x}", status[0]["Status"]["header"]["member_id"].as_u64().unwrap())
}

/// The machine whose etcd leads.
fn leader_of(version: &Version, members: &[&Machine]) -> usize {
    let leads = |machine: &&Machine| {
        let status = version.etcdctl(&machine.place.client_url, &["endpoint", "status", "-w", "json"]).ok()?;
        let status: serde_json::Value = serde_json::from_str(&status).ok()?;
        let status = &status[0]["Status"];
        (status["leader"] == status["header"]["member_id"]).then_some(())
    };
    wait_for(LIMIT, || members.iter().position(|machine| leads(machine).is_some())).expect("the cluster has a leader")
}
