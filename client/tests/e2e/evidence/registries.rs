//! A registry that knows less than the nodes.

use std::fs;

use convene_harness::{etcd::Version, server::Server};
use serde_json::json;

use super::{assert_nothing_archived, cut_power, form};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Node, Registry, with_each},
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
        let file = server.sqlite_file().unwrap();
        let crashed = server.crash();
        for entry in fs::read_dir(file.parent().unwrap()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        machines[2].stop();
        machines[2].place.lose_disk();
        let server = crashed.restart();
        let token = registry.url.rsplit_once('/').unwrap().1.to_owned();
        create_with_token(&server.url, &token, 3);
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

fn copy_database(from: &std::path::Path, to: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let with_suffix = |path: &std::path::Path| std::path::PathBuf::from(format!("{}{suffix}", path.display()));
        let _ = fs::remove_file(with_suffix(to));
        if with_suffix(from).exists() {
            fs::copy(with_suffix(from), with_suffix(to)).unwrap();
        }
    }
}

fn create_with_token(server: &str, token: &str, size: u32) {
    let created = reqwest::Client::new().post(format!("{server}/v1/clusters")).json(&json!({
        "token": token, "size": size, "policy": { "dead_after_seconds": 5, "check_in_every_seconds": 1 },
    }));
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(created.send()).unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}
