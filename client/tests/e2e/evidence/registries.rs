//! A registry that knows less than the nodes.

use std::{fs, time::Duration};

use convene_harness::{
    Place, Process,
    etcd::Version,
    server::{Crashed, Server},
    wait_for,
};
use serde_json::json;

use super::{archives, assert_nothing_archived, cut_power, form};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{self, LIMIT, Node, Registry, join_all, join_together, wait_until_healthy, with_each},
    promoter::promoters,
};

/// The database is restored from a copy of before the cluster formed. The cluster still exists, and empty nodes come.
#[test]
fn after_a_restore_of_the_registry_empty_nodes_do_not_found_a_second_cluster() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let file = server.sqlite_file().unwrap();
        let crashed = server.crash();
        let copy = tempfile::tempdir().unwrap();
        copy_database(&file, &copy.path().join("convene.db"));
        let server = crashed.restart();
        let machines = form(version, &registry, 3);
        // A promoter that still runs would report to the restored registry that the cluster exists.
        for machine in &machines {
            let data_dir = machine.place.data_dir();
            let ended = wait_for(LIMIT, || promoters(&data_dir).is_empty().then_some(()));
            ended.expect("the promoter ends once the registry knows that its member is a voter");
        }

        let crashed = server.crash();
        copy_database(&copy.path().join("convene.db"), &file);
        let _server = crashed.restart();
        let strangers: Vec<Node> =
            ["infra3", "infra4", "infra5"].iter().map(|name| Node::new(version, &registry, name)).collect();
        let joining: Vec<_> = strangers.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &joining {
            joining.wait_for_stderr("held", LIMIT);
        }
        machines[0].stop();
        machines[0].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
        for joining in &joining {
            joining.wait_for_stderr("stand_by (full)", LIMIT);
        }
    });
}

/// The registry is lost and created again under the same token. One of the members has lost its disk meanwhile.
#[test]
fn after_a_lost_registry_the_members_teach_the_new_one() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let machines = form(version, &registry, 3);
        let crashed = lose_database(server);
        machines[2].stop();
        machines[2].place.lose_disk();
        let server = crashed.restart();
        create_again(&server, &registry, 3);
        machines[2].go_on();
        machines[2].wait_for_log("infra2", LIMIT);
        machines[0].stop();
        machines[0].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
    });
}

/// As above. The etcds of the members run, no node of them asks, and a spare waits.
#[test]
fn after_a_lost_registry_a_spare_teaches_the_new_one() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let mut nodes = node::form(version, &registry, 3);
        let (_spare, waiting) = stand_by(version, &registry, "infra3");
        let server = lose_database(server).restart();
        waiting.wait_for_stderr("wait (unknown_cluster)", LIMIT);
        create_again(&server, &registry, 3);
        let is_known = || (registry.get("")["phase"] == "bootstrapped").then_some(());
        wait_for(LIMIT, is_known).expect("the spare shows that the cluster exists");

        let strangers = ["infra4", "infra5", "infra6"].map(|name| stand_by(version, &registry, name));
        nodes.iter_mut().for_each(Node::kill);
        join_together(&mut nodes);
        wait_until_healthy(&nodes);
        assert!(nodes.iter().all(|node| archives(&node.place).is_empty()));
        drop(strangers);
    });
}

/// The cluster is deleted and its token freed. At the address of its member runs another cluster when the token is used again.
#[test]
fn a_forgotten_spare_does_not_show_the_registry_another_cluster() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 1);
        let mut former = node::form(version, &registry, 1).remove(0);
        let (_spare, mut waiting) = stand_by(version, &registry, "infra1");
        registry.administer(&["cluster", "delete", "--forget-used", &registry.url]);
        waiting.wait_for_stderr("wait (unknown_cluster)", LIMIT);
        former.kill();
        let place = Place::new().at_address_of(&former.place);
        let mut others = [Node::at(place, version, &Registry::on(&server.url, 1), "other")];
        others[0].join(&[]);
        wait_until_healthy(&others);

        create_again(&server, &registry, 1);
        waiting.wait_for_stderr("wait (foreign_cluster)", LIMIT);
        assert_eq!(waiting.wait_for_exit(LIMIT), Some(0), "{}", waiting.stderr());
        assert!(waiting.stderr().contains(": bootstrap ("), "{}", waiting.stderr());
        let members = registry.get("/members")["members"].clone();
        assert_eq!((members.as_array().unwrap().len(), &members[0]["name"]), (1, &json!("infra1")), "{members}");
    });
}

/// As above, but two of three empty nodes have asked the new registry before the spare does.
#[test]
fn after_a_lost_registry_a_spare_holds_the_founding_that_has_begun() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let mut nodes = node::form(version, &registry, 3);
        let (_spare, waiting) = stand_by(version, &registry, "infra3");
        waiting.signal("STOP");
        let server = lose_database(server).restart();
        create_again(&server, &registry, 3);
        let strangers = ["infra4", "infra5", "infra6"].map(|name| Node::new(version, &registry, name));
        let mut joining: Vec<Process> = strangers[..2].iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &joining {
            joining.wait_for_stderr("wait (forming)", LIMIT);
        }
        waiting.signal("CONT");
        waiting.wait_for_stderr("wait (held)", LIMIT);
        joining.push(strangers[2].spawn_join(&[]));
        for joining in &joining {
            joining.wait_for_stderr("infra3 has seen a later state of this cluster", LIMIT);
        }

        nodes[0].kill();
        nodes[0].join(&[]);
        nodes[0].promote();
        wait_until_healthy(&nodes);
        for joining in &joining {
            joining.wait_for_stderr("stand_by (full)", LIMIT);
        }
        assert!(nodes.iter().all(|node| archives(&node.place).is_empty()));
    });
}

/// As above, but no spare waits. One member's etcd is loading its data.
#[test]
fn after_a_lost_registry_a_promoter_holds_the_founding() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let mut nodes = node::form(version, &registry, 3);
        nodes[2].kill();
        let joined = nodes[2].call("join", &["--no-promote"]).run(LIMIT);
        let loading = Duration::from_secs(15);
        let _etcd = version.start_slowly_with_environment(&nodes[2].place, &joined.stdout, loading);
        let mut promoting = nodes[2].call("promote", &[]).spawn();
        promoting.wait_for_stderr("does not answer yet", LIMIT);
        let server = lose_database(server).restart();
        promoting.wait_for_stderr("wait (unknown_cluster)", LIMIT);
        create_again(&server, &registry, 3);
        wait_for(LIMIT, || registry.get("")["held"].is_object().then_some(())).expect("the promoter reports the data");

        let strangers = ["infra4", "infra5", "infra6"].map(|name| Node::new(version, &registry, name));
        let joining = strangers.each_ref().map(|node| node.spawn_join(&[]));
        for joining in &joining {
            joining.wait_for_stderr("wait (held)", LIMIT);
        }
        assert_eq!(promoting.wait_for_exit(LIMIT), Some(0), "{}", promoting.stderr());
        for joining in &joining {
            joining.wait_for_stderr("stand_by (full)", LIMIT);
        }
    });
}

/// `cluster create`, then `join` before a member with data: the natural way to take over a running cluster.
#[test]
fn a_running_cluster_is_taken_over_by_joining_before_its_members() {
    with_each(Version::oldest_and_newest(), |version| {
        let (former, registry) = (Registry::new(3), Registry::new(3));
        let machines = form(version, &former, 3);
        let places: Vec<_> = machines.iter().map(|machine| machine.place.clone()).collect();
        let names: Vec<String> = machines.iter().map(|machine| machine.name.clone()).collect();
        let mut taken: Vec<Option<Machine>> = machines.into_iter().map(Some).collect();
        for at in 0..3 {
            drop(taken[at].take());
            taken[at] = Some(Machine::start_at(places[at].clone(), version, &registry, &names[at], &[]));
            taken[at].as_ref().unwrap().wait_for_log("start", LIMIT);
            let machines: Vec<&Machine> = taken.iter().flatten().collect();
            wait_until_whole(version, &machines, LIMIT);
        }
        let cluster = registry.get("");
        assert_eq!((&cluster["voter_count"], &cluster["phase"]), (&json!(3), &json!("bootstrapped")), "{cluster}");
    });
}

/// The registry learns nothing after it has instructed the founders. Later all machines start without the mounts of their data
/// directories.
#[test]
fn founders_whose_mounts_are_missing_found_no_second_cluster() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = ["infra0", "infra1", "infra2"].map(|name| Node::new(version, &registry, name));
        for node in &nodes {
            mount(node, "disk");
        }
        join_all(&mut nodes);
        wait_until_healthy(&nodes);
        wait_for(LIMIT, || nodes[0].etcdctl(&["put", "key", "acknowledged"]).ok())
            .expect("a healthy cluster takes writes");

        for node in &mut nodes {
            node.kill();
            mount(node, "root");
        }
        let mut waiting: Vec<Process> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &waiting {
            joining.wait_for_stderr("Mount the missing disks", LIMIT);
        }
        assert_eq!(registry.get("")["held"]["reason"], "disks_missing");

        for (node, joining) in nodes.iter_mut().zip(&mut waiting) {
            joining.kill();
            mount(node, "disk");
        }
        join_all(&mut nodes);
        wait_until_healthy(&nodes);
        assert!(nodes[0].etcdctl(&["get", "key"]).unwrap().contains("acknowledged"));
        assert_eq!(registry.get("")["held"], serde_json::Value::Null);
    });
}

/// Makes a node's data directory a link to a directory that stands for a disk.
fn mount(node: &Node, disk: &str) {
    let link = node.place.data_dir();
    let disk = link.with_extension(disk);
    fs::create_dir_all(&disk).unwrap();
    if link.is_symlink() {
        fs::remove_file(&link).unwrap();
    }
    std::os::unix::fs::symlink(disk, link).unwrap();
}

fn copy_database(from: &std::path::Path, to: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let with_suffix = |path: &std::path::Path| std::path::PathBuf::from(format!("{}{suffix}", path.display()));
        let _ = fs::remove_file(with_suffix(to));
        if with_suffix(from).exists() {
            fs::copy(with_suffix(from), with_suffix(to)).unwrap();
        }
    }
}

/// A node that waits as a spare.
fn stand_by(version: &Version, registry: &Registry, name: &str) -> (Node, Process) {
    let node = Node::new(version, registry, name);
    let waiting = node.spawn_join(&[]);
    waiting.wait_for_stderr("stand_by (full)", LIMIT);
    (node, waiting)
}

/// The server crashes, and its disk is lost.
fn lose_database(server: Server) -> Crashed {
    let file = server.sqlite_file().unwrap();
    let crashed = server.crash();
    for entry in fs::read_dir(file.parent().unwrap()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    crashed
}

/// Creates the cluster again under its token.
fn create_again(server: &Server, registry: &Registry, size: u32) {
    let token = registry.url.rsplit_once('/').unwrap().1;
    let created = reqwest::Client::new().post(format!("{}/v1/clusters", server.url)).json(&json!({
        "token": token, "size": size, "policy": { "dead_after_seconds": 5, "check_in_every_seconds": 1 },
    }));
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(created.send()).unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}
