//! Each instruction of a false server against real etcds: the member list and the data stay.

use std::{fs, thread};

use convene_harness::{
    cluster::{Member, member_list},
    etcd::Version,
    wait_for,
};
use serde_json::{Value, json};

use crate::{
    evidence::lying_registry::LyingRegistry,
    node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each},
};

/// What etcd would be told to start with.
fn start(name: &str, peer_url: &str) -> Value {
    json!({
        "name": name, "initial_advertise_peer_urls": [peer_url], "initial_cluster": format!("{name}={peer_url}"),
        "initial_cluster_token": "false",
    })
}

#[test]
fn no_instruction_of_a_false_server_changes_the_members_or_the_data() {
    let versions = ["3.5", "3.7"].into_iter().filter_map(Version::find).collect();
    with_each(versions, |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[0].etcdctl(&["put", "greeting", "hello"]).unwrap();
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let before = members(&nodes[0]);
        // A quorum is left, and can bear no further loss.
        nodes[2].kill();
        let foreign = "http://127.0.0.1:1";
        let spares: Vec<Node> = (0..10).map(|_| Node::new(version, &registry, "spare")).collect();
        let [live, other, dead] = [&nodes[0], &nodes[1], &nodes[2]];

        let expect: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "learner": false })).collect();
        let terms = json!({ "ticket": 1, "act_within_seconds": 20, "expect": expect, "witnesses": 1 });
        let change = |instruction: &str, reason: &str, more: Value| {
            let mut lie = json!({ "instruction": instruction, "reason": reason, "terms": terms });
            lie.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            lie
        };
        let add = |urls: &[&str]| change("add_member", "below_size", json!({ "peer_urls": urls, "learner": true }));
        let remove = |reason: &str, id: &str| change("remove_member", reason, json!({ "member_id": id }));
        let leave = |reason: &str| change("leave", reason, json!({ "member_id": ids[0] }));
        let update = |id: &str, url: &str| {
            change("update_member", "address_changed", json!({ "member_id": id, "peer_urls": [url] }))
        };
        let promote = change("promote", "caught_up", json!({ "member_id": ids[1] }));
        let begin = |instruction: &str, name: &str, url: &str| json!({ "instruction": instruction, "reason": "complete", "start": start(name, url) });
        let (live_url, other_url, dead_url) = (&*live.place.peer_url, &*other.place.peer_url, &*dead.place.peer_url);
        let not_own = format!("{foreign} is not a peer URL of this node");
        let unbearable = "the cluster needs 2";

        let by_spares = [
            (add(&[foreign]), &*not_own),
            (add(&[other_url]), "is not a peer URL of this node"),
            (add(&[]), "names no peer URL"),
            (remove("evicted", &ids[1]), unbearable),
            (remove("dead", &ids[0]), ""),
            (promote, "has not seen member"),
            (update(&ids[1], &spares[6].place.peer_url), "is not that of this node's data"),
            (begin("join", "infra1", other_url), "infra1 is not the name of this node"),
            (begin("join", "spare", foreign), &not_own),
            (begin("bootstrap", "infra0", live_url), "infra0 is not the name of this node"),
        ];
        let by_members = [
            ("promote", update(&ids[0], foreign), &*not_own),
            ("promote", leave("evicted"), unbearable),
            ("promote", leave("leaving"), "this node has not asked to leave"),
            ("leave", leave("leaving"), unbearable),
            ("leave", remove("shrink", &ids[1]), unbearable),
        ];
        thread::scope(|scope| {
            let nodes = &nodes;
            for (spare, (lie, found)) in spares.iter().zip(&by_spares) {
                scope.spawn(move || assert_refused(spare, "join", lie, found, nodes));
            }
            for (verb, lie, found) in &by_members {
                scope.spawn(move || assert_refused(live, verb, lie, found, nodes));
            }
            // One command at a time decides about the data of a node.
            scope.spawn(|| {
                let archive = json!({ "instruction": "archive_data", "reason": "removed" });
                for (lie, found) in [
                    (begin("bootstrap", "infra2", dead_url), ", which runs: the etcd at"),
                    (begin("join", "infra2", dead_url), "has run before"),
                    (update(&ids[2], foreign), &not_own),
                    (archive, "is in the current member list of its cluster"),
                ] {
                    assert_refused(dead, "join", &lie, found, nodes);
                }
            });
        });
        assert_eq!(members(&nodes[0]), before);
        assert!(nodes[0].etcdctl(&["get", "greeting"]).unwrap().contains("hello"));
        for node in &nodes {
            let folder = node.place.data_dir().parent().unwrap().to_owned();
            let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.iter().all(|name| !name.to_string_lossy().contains("archived")), "{names:?}");
            assert!(node.place.data_dir().join("member/wal").exists());
        }
        nodes[2].join(&[]);
        wait_until_healthy(&nodes);

        // The last voter.
        let mut single = form(version, &Registry::new(1), 1);
        let id = single[0].member_id();
        let terms = json!({ "ticket": 1, "act_within_seconds": 20, "expect": [{ "id": id, "learner": false }] });
        let lie = json!({ "instruction": "leave", "reason": "leaving", "terms": terms, "member_id": id });
        assert_refused(&single[0], "leave", &lie, "is the last voter", &single);
        wait_until_healthy(&single);
        single.iter_mut().for_each(Node::kill);
    });
}

/// Gives a node the lie, until it has logged that it refuses.
fn assert_refused(node: &Node, verb: &str, lie: &Value, found: &str, nodes: &[Node]) {
    let places: Vec<_> = nodes.iter().map(|node| &*node.place).collect();
    let liar = LyingRegistry::start(&places, lie.clone());
    let more: &[&str] = if verb == "join" { &["--no-promote"] } else { &[] };
    let mut told = node.call(verb, more).env("CONVENE_DISCOVERY", &liar.registry.url).spawn();
    let is_refusal = |line: &&str| line.contains("(node_refused)");
    let refusal = wait_for(LIMIT, || told.stderr().lines().find(is_refusal).map(str::to_owned));
    told.kill();
    let refusal = refusal.unwrap_or_else(|| panic!("{verb} does not refuse {lie}:\n{}", told.stderr()));
    assert!(refusal.contains(found), "{found:?} is not in {refusal:?}, after {lie}:\n{}", told.stderr());
}

fn members(node: &Node) -> Vec<Member> {
    member_list(&node.version, &node.access, node.client_url()).unwrap()
}
