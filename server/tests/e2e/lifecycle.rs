//! Real etcds follow the instructions of check-ins, and every API shows the result.

mod node;
mod registry;

use std::{collections::BTreeSet, time::Duration};

use convene_harness::{
    etcd::{Etcd, Version},
    wait_for,
};
use serde_json::Value;

use node::{Node, hexadecimal};
use registry::Registry;

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn etcd_3_4_bootstraps_by_check_in_and_a_lost_disk_is_replaced() {
    a_cluster_bootstraps_by_check_in_and_a_lost_disk_is_replaced("3.4");
}

#[test]
fn etcd_3_6_bootstraps_by_check_in_and_a_lost_disk_is_replaced() {
    a_cluster_bootstraps_by_check_in_and_a_lost_disk_is_replaced("3.6");
}

#[test]
fn etcd_3_4_bootstraps_by_discovery_and_is_repaired_by_check_in() {
    a_cluster_bootstraps_by_discovery_and_is_repaired_by_check_in("3.4", by_v2);
}

#[test]
fn etcd_3_6_bootstraps_by_discovery_and_is_repaired_by_check_in() {
    a_cluster_bootstraps_by_discovery_and_is_repaired_by_check_in("3.6", by_v2);
}

#[test]
fn etcd_3_7_bootstraps_by_discovery_and_is_repaired_by_check_in() {
    a_cluster_bootstraps_by_discovery_and_is_repaired_by_check_in("3.7", by_v3);
}

/// Its etcd could vote twice in one term.
#[test]
fn an_etcd_that_lost_its_data_does_not_rejoin_by_v3_discovery() {
    let Some(version) = Version::find("3.7") else { return };
    let registry = Registry::start();
    let mut nodes = bootstrapped_by_discovery(&version, &registry, by_v3);
    check_in_until_healthy(&registry, &mut nodes);

    nodes[2].lose_disk();
    let again = version.discover_v3_at(&nodes[2].place, "infra2", registry.server_url(), registry.token());
    again.wait_for_output("this etcd cluster exists and has this node as a member", LIMIT);
    assert!(again.etcdctl(&["endpoint", "health"]).is_err(), "{}", again.output());
    drop(again);

    check_in_until_healthy(&registry, &mut nodes);
    every_api_shows_what_etcd_lists(&registry, &version, &nodes[0]);
}

fn a_cluster_bootstraps_by_check_in_and_a_lost_disk_is_replaced(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let registry = Registry::start();
    let mut nodes: Vec<Node> = (0..3).map(|n| Node::new(&version, &format!("infra{n}"))).collect();

    // The third completes the roster. No etcd runs yet from which the IDs could be known.
    nodes.iter_mut().for_each(|node| node.check_in_if_due(&registry));
    let predicted = (registry.cluster()["cluster_id"].clone(), registry.members());
    check_in_until_healthy(&registry, &mut nodes);
    let listed = Listed::by(&version, &nodes[0]);
    assert_eq!(predicted, (listed.cluster_id, listed.members));
    every_api_shows_what_etcd_lists(&registry, &version, &nodes[0]);

    nodes[2].lose_disk();
    check_in_until_healthy(&registry, &mut nodes);
    let steps = ["remove_member lost_disk", "add_member below_size", "join added", "promote caught_up", "wait healthy"];
    assert_eq!(steps_of(&nodes[2]), steps, "{:#?}", nodes[2].history);
    every_api_shows_what_etcd_lists(&registry, &version, &nodes[0]);

    what_elastic_etcd_writes_is_shown_and_corrected(&registry, &version, &mut nodes);
}

/// elastic-etcd keeps the list in the registry by itself, and can be wrong: the next view corrects it.
fn what_elastic_etcd_writes_is_shown_and_corrected(registry: &Registry, version: &Version, nodes: &mut [Node]) {
    let listed = Listed::by(version, &nodes[0]).members;
    registry.put("abc", "infra7=http://127.0.0.1:9");
    assert_eq!(registry.members(), &listed | &BTreeSet::from(["abc".to_owned()]));
    check_in_until(registry, nodes, "the member is gone that etcd does not have", |_| registry.members() == listed);

    let first = listed.first().unwrap();
    registry.delete(first);
    assert_eq!(registry.members(), &listed - &BTreeSet::from([first.clone()]));
    check_in_until(registry, nodes, "the member is back that etcd has", |_| registry.members() == listed);
    every_api_shows_what_etcd_lists(registry, version, &nodes[0]);
}

fn a_cluster_bootstraps_by_discovery_and_is_repaired_by_check_in(version: &'static str, discover: Discover) {
    let Some(version) = Version::find(version) else { return };
    let registry = Registry::start();
    let mut nodes = bootstrapped_by_discovery(&version, &registry, discover);
    let registered = registry.members();
    check_in_until_healthy(&registry, &mut nodes);
    let listed = Listed::by(&version, &nodes[0]);
    assert_eq!((registry.cluster()["cluster_id"].clone(), registered), (listed.cluster_id, listed.members));

    nodes.remove(2).die();
    nodes.push(Node::new(&version, "infra3"));
    check_in_until_healthy(&registry, &mut nodes);
    let steps = ["remove_member dead", "add_member below_size", "join added", "promote caught_up", "wait healthy"];
    assert_eq!(steps_of(&nodes[2]), steps, "{:#?}", nodes[2].history);
    every_api_shows_what_etcd_lists(&registry, &version, &nodes[0]);

    registry.change(r#"{"size": 4}"#);
    nodes.push(Node::new(&version, "infra4"));
    check_in_until_healthy(&registry, &mut nodes);
    assert_eq!(steps_of(&nodes[3]), steps[1..], "{:#?}", nodes[3].history);
    every_api_shows_what_etcd_lists(&registry, &version, &nodes[0]);
}

/// Starts an etcd of some name that finds the others by discovery.
type Discover = fn(&Version, &str, &Registry) -> Etcd;

fn by_v2(version: &Version, name: &str, registry: &Registry) -> Etcd {
    version.discover(name, &registry.discovery_url())
}

fn by_v3(version: &Version, name: &str, registry: &Registry) -> Etcd {
    version.discover_v3(name, registry.server_url(), registry.token())
}

/// Three nodes whose etcds run and that have not checked in yet.
fn bootstrapped_by_discovery(version: &Version, registry: &Registry, discover: Discover) -> Vec<Node> {
    let names = ["infra0", "infra1", "infra2"];
    let etcds = names.map(|name| discover(version, name, registry));
    etcds.iter().for_each(|etcd| etcd.wait_until_healthy(LIMIT));
    names.into_iter().zip(etcds).map(|(name, etcd)| Node::with(version, name, etcd)).collect()
}

fn check_in_until_healthy(registry: &Registry, nodes: &mut [Node]) {
    check_in_until(registry, nodes, "all are healthy", |nodes| {
        let voters = registry.cluster()["voter_count"].as_u64();
        voters == Some(nodes.len() as u64) && nodes.iter().all(|node| node.last_was("wait healthy"))
    });
}

/// Lets the nodes check in and execute their instructions until a condition holds.
fn check_in_until(registry: &Registry, nodes: &mut [Node], what: &str, is_so: impl Fn(&[Node]) -> bool) {
    let found = wait_for(LIMIT, || {
        nodes.iter_mut().for_each(|node| node.check_in_if_due(registry));
        is_so(nodes).then_some(())
    });
    let histories = nodes.iter().map(|node| format!("{}: {:#?}\n", node.name, node.history));
    found.unwrap_or_else(|| panic!("{what}: never so:\n{}", histories.collect::<String>()));
}

/// The instructions of a node, without `observe` and `wait` in between.
fn steps_of(node: &Node) -> Vec<&str> {
    let (last, way) = node.history.split_last().unwrap();
    let is_step = |entry: &&String| {
        ["remove_", "add_", "join", "promote"].iter().any(|instruction| entry.starts_with(instruction))
    };
    let mut steps: Vec<&str> = way.iter().filter(is_step).chain([last]).map(String::as_str).collect();
    // etcd may refuse a change for some seconds; then the node receives the instruction again.
    steps.dedup();
    steps
}

fn every_api_shows_what_etcd_lists(registry: &Registry, version: &Version, node: &Node) {
    let listed = Listed::by(version, node).members;
    assert_eq!((registry.members(), registry.keys()), (listed.clone(), listed));
}

/// The members according to etcd itself.
struct Listed {
    cluster_id: Value,
    members: BTreeSet<String>,
}

impl Listed {
    fn by(version: &Version, node: &Node) -> Self {
        let list = version.etcdctl(node.client_url(), &["member", "list", "-w", "json"]).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        let members = list["members"].as_array().unwrap().iter().map(|member| hexadecimal(&member["ID"])).collect();
        Self { cluster_id: hexadecimal(&list["header"]["cluster_id"]).into(), members }
    }
}
