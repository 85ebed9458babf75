//! Reports about others, forged or honest, and records that nobody can vouch for.

use std::{
    thread,
    time::{Duration, Instant},
};

use convene_harness::{etcd::Version, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

use super::{archives, assert_nothing_archived, copies::start_drill, cut_power, form};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Node, Registry, join_all, wait_until_healthy, with_each},
};

#[test]
fn after_a_forged_view_without_the_members_nobody_archives_its_data() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let cluster = registry.get("");
        registry.check_in_by_hand(&json!({
            "name": "mallory", "state": "empty", "peer_urls": ["http://127.0.0.1:1"],
            "view": {
                "since": cluster["revision"], "cluster_id": cluster["cluster_id"], "linearizable": true, "leader": "bad",
                "members": [{ "id": "bad", "name": "mallory", "peer_urls": ["http://127.0.0.1:1"], "reachable": true }],
            },
        }));
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
        let members = registry.get("/members");
        assert_eq!(members["members"].as_array().unwrap().iter().filter(|one| one["removed"] == false).count(), 3);
    });
}

#[test]
fn after_a_forged_cluster_id_nobody_archives_its_data() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let member = registry.get("/members")["members"][0]["id"].clone();
        for state in ["stopped", "running"] {
            registry.check_in_by_hand(&json!({
                "name": "infra0", "state": state, "member_id": member, "cluster_id": "bad", "peer_urls": ["http://127.0.0.1:1"],
            }));
        }
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

/// Each member is reported as stopped, with data in which etcd has never had a leader, by a node that no member answers.
#[test]
fn forged_reports_of_data_without_a_leader_begin_no_epoch_over_a_running_cluster() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let has_leader = || registry.administer(&["cluster", "events"]).contains("has had a leader").then_some(());
        wait_for(LIMIT, has_leader).expect("a node has seen the leader");
        let (cluster, members) = (registry.get(""), registry.get("/members"));
        let forged = |(at, member): (usize, &Value)| {
            let peer_urls = json!([member["peer_urls"][0], format!("http://127.0.0.1:{}", at + 1)]);
            json!({
                "name": member["name"], "state": "stopped", "member_id": member["id"], "cluster_id": cluster["cluster_id"],
                "peer_urls": peer_urls, "last_index": 0, "never_led": true,
                "view": { "since": cluster["revision"], "linearizable": false, "members": [] },
            })
        };
        let reports: Vec<Value> = members["members"].as_array().unwrap().iter().enumerate().map(forged).collect();
        // The clients of the members check in, too, so the forged reports have to come in one go.
        for report in [&reports[..], &reports[..]].concat() {
            registry.check_in_by_hand(&report);
        }
        assert_eq!(registry.get("")["epoch"], 1);
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
        assert_eq!(registry.get("")["cluster_id"], cluster["cluster_id"]);
    });
}

/// Without a promoter, nodes report nothing once their etcds run, so the registry has seen no leader. Somebody who knows the token reports
/// about all members that they have no data, or none of a leader.
#[test]
fn forged_reports_about_the_founders_begin_no_epoch_before_the_registry_has_seen_a_leader() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> = (0..3).map(|at| Node::new(version, &registry, &format!("infra{at}"))).collect();
        join_all(&mut nodes);
        wait_until_healthy(&nodes);
        let (before, members) = (registry.get(""), registry.get("/members"));
        let members = members["members"].as_array().unwrap();
        let forged = |member: &Value, state: Value| {
            let mut report = state;
            report["name"] = member["name"].clone();
            report["peer_urls"] = member["peer_urls"].clone();
            report["run_id"] = "mallory".into();
            report["view"] = json!({ "since": before["revision"], "linearizable": false, "members": [] });
            report
        };
        let never_led = |member: &Value| {
            json!({
                "state": "stopped", "member_id": member["id"], "cluster_id": before["cluster_id"], "last_index": 0, "never_led": true,
            })
        };
        // An epoch could begin once the instructions to bootstrap are older than that.
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            for member in members {
                registry.check_in_by_hand(&forged(member, never_led(member)));
            }
            for member in members {
                registry.check_in_by_hand(&forged(member, json!({ "state": "empty" })));
            }
            thread::sleep(Duration::from_millis(500));
        }
        let cluster = registry.get("");
        assert_eq!((&cluster["epoch"], &cluster["held"]["reason"]), (&json!(1), &json!("disks_missing")));

        nodes.iter_mut().for_each(Node::kill);
        for started in join_all(&mut nodes) {
            assert!(started.stderr.contains("start (own_data)"), "{}", started.stderr);
        }
        wait_until_healthy(&nodes);
        assert_eq!(registry.get("")["held"], Value::Null);
        assert!(nodes.iter().all(|node| archives(&node.place).is_empty()));
    });
}

#[test]
fn names_that_v2_clients_have_rotated_keep_no_member_from_starting() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let members = registry.get("/members")["members"].as_array().unwrap().clone();
        for member in &members {
            v2(Method::DELETE, &registry, member["id"].as_str().unwrap(), None);
        }
        for (at, member) in members.iter().enumerate() {
            let other = &members[(at + 1) % members.len()];
            let value = format!("{}={}", other["name"].as_str().unwrap(), member["peer_urls"][0].as_str().unwrap());
            v2(Method::PUT, &registry, member["id"].as_str().unwrap(), Some(&value));
        }
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

/// A restore drill makes a cluster of one member from a copy of the data, with the same IDs, and reports it.
#[test]
fn a_drill_with_a_forced_new_cluster_costs_no_member_its_data() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let drill = crate::node::Node::at(machines[0].place.copied(), version, &registry, "infra0");
        let urls = ["--initial-advertise-peer-urls", &drill.place.peer_url];
        let _forced = start_drill(version, &drill.place, &urls);
        let promoted = drill.call("promote", &["--timeout=5s"]).run(LIMIT);
        assert!(promoted.code.is_some(), "{}", promoted.stderr);

        machines[1].stop();
        machines[1].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

/// All members are restored from one snapshot, as etcd's documentation describes. That makes another cluster ID.
#[test]
fn members_restored_from_a_snapshot_start_and_keep_their_data() {
    // Later versions restore with etcdutl, which is not installed here.
    with_each(["3.4", "3.5"].into_iter().filter_map(Version::find).collect(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        version.etcdctl(&machines[0].place.client_url, &["put", "greeting", "hello"]).unwrap();
        let snapshot = tempfile::NamedTempFile::new().unwrap();
        version
            .etcdctl(&machines[0].place.client_url, &["snapshot", "save", snapshot.path().to_str().unwrap()])
            .unwrap();
        machines.iter().for_each(Machine::stop);
        for machine in &machines {
            machine.place.lose_disk();
            version.restore(
                snapshot.path(),
                &machine.name,
                &machine.place,
                machines.iter().map(|one| (&*one.name, &*one.place)),
            );
        }
        machines.iter().for_each(Machine::go_on);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
        let read = version.etcdctl(&machines[2].place.client_url, &["get", "greeting"]).unwrap();
        assert!(read.contains("hello"), "{read}");

        let adopted =
            registry.administer(&["cluster", "adopt", &registry.url, "--endpoints", &machines[0].place.client_url]);
        assert!(!adopted.is_empty());
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);
    });
}

/// A request to the v2 face, whatever its answer.
fn v2(method: Method, registry: &Registry, key: &str, value: Option<&str>) {
    let mut request = reqwest::Client::new().request(method, format!("{}/{key}", registry.url));
    if let Some(value) = value {
        request = request.form(&[("value", value)]);
    }
    tokio::runtime::Runtime::new().unwrap().block_on(request.send()).unwrap();
}
