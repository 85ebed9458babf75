//! Stock etcds from 3.6 on find each other by v3 discovery, which is etcd's own API, and form a cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use convene_harness::{
    Access, Place,
    cluster::{every_member_serves_what_another_wrote, member_list},
    etcd::{Etcd, Version},
    network::Network,
    server::Server,
};

use crate::test_cluster::TestCluster;

const LIMIT: Duration = Duration::from_secs(60);

/// etcd repeats its requests with growing pauses while the server is down.
const LIMIT_AFTER_AN_OUTAGE: Duration = Duration::from_secs(180);

/// The log line of a node that has registered and waits for others.
const WAITS: &str = "waiting for peers from discovery service";

/// The ways in which the token of a cluster of some size comes to be.
const WAYS: [fn(&Server, &Version, u32) -> TestCluster; 3] = [put_with_etcdctl, draw, create];

#[test]
fn etcd_3_6_bootstraps() {
    bootstrap_every_size("3.6");
}

#[test]
fn etcd_3_7_bootstraps() {
    bootstrap_every_size("3.7");
}

#[test]
fn waiting_etcds_3_6_continue_after_a_crash() {
    waiting_etcds_continue_after_a_crash("3.6");
}

#[test]
fn waiting_etcds_3_7_continue_after_a_crash() {
    waiting_etcds_continue_after_a_crash("3.7");
}

#[test]
fn an_etcd_3_6_that_starts_before_the_server_waits_for_it() {
    an_etcd_that_starts_before_the_server_waits_for_it("3.6");
}

#[test]
fn an_etcd_3_7_that_starts_before_the_server_waits_for_it() {
    an_etcd_that_starts_before_the_server_waits_for_it("3.7");
}

#[test]
fn an_etcd_with_a_password_continues_without_it() {
    for version in versions() {
        let server = Server::start();
        let cluster = put_with_etcdctl(&server, &version, 1);
        let member = version.discover_v3_as("name", "x", "infra0", &server.url, cluster.token());
        member.wait_until_healthy(LIMIT);
        has_formed_with(&cluster, &version, &[member]);
    }
}

#[test]
fn an_etcd_with_v3_learns_that_the_others_use_v2() {
    let (Some(old), Some(new)) = (Version::find("3.5"), Version::find("3.7")) else { return };
    let server = Server::start();
    let cluster = draw(&server, &new, 3);
    let first = old.discover("infra0", &cluster.discovery_url());
    first.wait_for_output("waiting for more", LIMIT);

    let second = new.discover_v3("infra1", &server.url, cluster.token());
    let line = second.wait_for_output("of this cluster use v2 discovery", LIMIT);
    assert!(line.contains("--discovery"), "{line}");
    only_the_first_has_registered(&cluster);
}

#[test]
fn an_etcd_with_v2_learns_that_the_others_use_v3() {
    let (Some(old), Some(new)) = (Version::find("3.5"), Version::find("3.7")) else { return };
    let server = Server::start();
    let cluster = draw(&server, &new, 3);
    let first = new.discover_v3("infra0", &server.url, cluster.token());
    first.wait_for_output(WAITS, LIMIT);

    let second = old.discover("infra1", &cluster.discovery_url());
    second.wait_for_output("of this cluster use v3 discovery", LIMIT);
    only_the_first_has_registered(&cluster);
}

#[test]
fn etcds_that_share_a_peer_url_are_refused_with_the_name_of_the_first() {
    for version in versions() {
        let server = Server::start();
        let cluster = put_with_etcdctl(&server, &version, 3);
        let mut members = start(&version, &server, &cluster, 0..1);
        let first = members[0].place.clone();
        members[0].wait_for_output(WAITS, LIMIT);
        let shared: Vec<Etcd> = (1..3)
            .map(|n| {
                let (name, discovery) =
                    (format!("infra{n}"), ["--discovery-endpoints", &server.url, "--discovery-token"]);
                let own = [cluster.token(), "--name", &name, "--initial-advertise-peer-urls", &first.peer_url];
                version.start(&Arc::new(Place::new()), &[&discovery[..], &own].concat())
            })
            .collect();
        for (etcd, name) in shared.iter().zip(["infra1", "infra2"]) {
            let problem = format!("peer URL {} is already taken by member", first.peer_url);
            let output = etcd.wait_for_output(&problem, LIMIT);
            assert!(output.contains("(infra0); give each node its own --initial-advertise-peer-urls"), "{output}");
            server.wait_for_output(&format!("node={name}"), LIMIT);
        }
        only_the_first_has_registered(&cluster);
        drop(shared);

        // The first one comes back without its data, and the others with peer URLs of their own.
        members[0].kill();
        members.clear();
        std::fs::remove_dir_all(first.data_dir()).unwrap();
        members.push(version.discover_v3_at(&first, "infra0", &server.url, cluster.token()));
        members.extend(start(&version, &server, &cluster, 1..3));
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);
        has_formed_with(&cluster, &version, &members);
    }
}

/// A README that many have copied starts every node without a name, with a peer URL of its own machine.
#[test]
fn etcds_that_share_name_and_peer_url_are_refused_while_the_first_waits() {
    for version in versions() {
        let Some(network) = Network::new(3) else { return };
        let server = Server::start_at(&network.address);
        let cluster = put_with_etcdctl(&server, &version, 3);
        let start = |place: &Arc<Place>| {
            let discovery = ["--discovery-endpoints", &server.url, "--discovery-token", cluster.token()];
            version
                .start(place, &[&discovery[..], &["--initial-advertise-peer-urls", "http://localhost:2380"]].concat())
        };
        let places = [0, 1, 2].map(|n| Arc::new(Place::on_host(&network.hosts[n])));
        let mut first = start(&places[0]);
        first.wait_for_output(WAITS, LIMIT);
        for place in &places[1..] {
            start(place).wait_for_output("these peer URLs has registered, and is still waiting", LIMIT);
        }
        server.wait_for_output("node=default", LIMIT);

        // The first one comes back without its data.
        first.kill();
        std::fs::remove_dir_all(places[0].data_dir()).unwrap();
        start(&places[0]).wait_for_output(WAITS, LIMIT);
        assert_eq!(cluster.members().len(), 1);
    }
}

#[test]
fn an_etcd_with_another_name_than_before_learns_its_former_name() {
    for version in versions() {
        let server = Server::start();
        let cluster = put_with_etcdctl(&server, &version, 2);
        let mut first = start(&version, &server, &cluster, 0..1).remove(0);
        first.wait_for_output(WAITS, LIMIT);
        first.kill();
        let place = first.place.clone();
        drop(first);
        std::fs::remove_dir_all(place.data_dir()).unwrap();
        let renamed = version.discover_v3_at(&place, "renamed", &server.url, cluster.token());
        renamed.wait_for_output("if this node has registered as infra0 before, start it with --name infra0", LIMIT);
    }
}

fn bootstrap_every_size(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    for size in [1, 3, 5] {
        for make in WAYS {
            let cluster = make(&server, &version, size);
            let members = start(&version, &server, &cluster, 0..size);
            members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
            every_member_serves_what_another_wrote(&members);
            has_formed_with(&cluster, &version, &members);

            a_further_node_learns_that_the_cluster_is_full(&version, &server, &cluster);
            has_formed_with(&cluster, &version, &members);
        }
    }
}

fn waiting_etcds_continue_after_a_crash(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    let cluster = put_with_etcdctl(&server, &version, 3);
    let mut members = start(&version, &server, &cluster, 0..2);
    for member in &members {
        member.wait_for_output(WAITS, LIMIT);
    }

    let server = server.crash().restart();
    members.extend(start(&version, &server, &cluster, 2..3));
    members.iter().for_each(|member| member.wait_until_healthy(LIMIT_AFTER_AN_OUTAGE));
    every_member_serves_what_another_wrote(&members);
    has_formed_with(&cluster, &version, &members);
}

fn an_etcd_that_starts_before_the_server_waits_for_it(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    let cluster = put_with_etcdctl(&server, &version, 1);
    let url = server.url.clone();
    let away = server.crash();
    let member = version.discover_v3("infra0", &url, cluster.token());
    member.wait_for_output("retry connecting to discovery service", LIMIT);

    let _server = away.restart();
    member.wait_until_healthy(LIMIT_AFTER_AN_OUTAGE);
    has_formed_with(&cluster, &version, &[member]);
}

/// The versions that know v3 discovery, as far as they are installed.
fn versions() -> impl Iterator<Item = Version> {
    ["3.6", "3.7"].into_iter().filter_map(Version::find)
}

/// As the operator of an etcd that serves for discovery makes a token: of any shape, by its first key.
fn put_with_etcdctl(server: &Server, version: &Version, size: u32) -> TestCluster {
    let token = format!("by-etcdctl-of-{size}");
    let (key, size) = (format!("/_etcd/registry/{token}/_config/size"), size.to_string());
    assert_eq!(version.etcdctl(&server.url, &["put", &key, &size]).as_deref(), Ok("OK\n"));
    TestCluster::of(server, &token)
}

fn draw(server: &Server, _: &Version, size: u32) -> TestCluster {
    TestCluster::draw(server, size)
}

fn create(server: &Server, _: &Version, size: u32) -> TestCluster {
    TestCluster::create(server, size)
}

fn start(version: &Version, server: &Server, cluster: &TestCluster, numbers: std::ops::Range<u32>) -> Vec<Etcd> {
    numbers.map(|n| version.discover_v3(&format!("infra{n}"), &server.url, cluster.token())).collect()
}

/// The API shows the members that etcd has itself, under the IDs that etcd gives them.
fn has_formed_with(cluster: &TestCluster, version: &Version, members: &[Etcd]) {
    let shown = cluster.cluster();
    assert_eq!((&shown["phase"], shown["voter_count"].as_u64()), (&"formed".into(), Some(members.len() as u64)));
    let listed = member_list(version, &Access::default(), &members[0].place.client_url).unwrap();
    let listed: BTreeMap<_, _> = listed.into_iter().map(|member| (member.id, member.name)).collect();
    assert_eq!(cluster.members(), listed);
}

fn a_further_node_learns_that_the_cluster_is_full(version: &Version, server: &Server, cluster: &TestCluster) {
    let mut further = version.discover_v3("further", &server.url, cluster.token());
    further.wait_for_output("cluster is full", LIMIT);
    assert_ne!(further.wait_for_exit(LIMIT), Some(0), "{}", further.output());
}

fn only_the_first_has_registered(cluster: &TestCluster) {
    assert_eq!(cluster.members().into_values().collect::<Vec<_>>(), ["infra0"]);
    assert_eq!(cluster.cluster()["phase"], "forming");
}
