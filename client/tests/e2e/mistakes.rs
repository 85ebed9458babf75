//! Unmounted disks, forgotten flags and concurrent commands cost neither data nor members.

use std::fs;

use convene_harness::{Place, Process, etcd::Version, wait_for};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

#[test]
fn a_cluster_with_unmounted_wal_disks_is_not_bootstrapped_again() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> = (0..3)
            .map(|number| Node::at(Place::new().with_wal_dir(), version, &registry, &format!("infra{number}")))
            .collect();
        // The registry never learns that etcd runs.
        std::thread::scope(|scope| {
            for node in &mut nodes {
                scope.spawn(|| node.join(&[]));
            }
        });
        wait_until_healthy(&nodes);
        nodes[0].etcdctl(&["put", "greeting", "hello"]).unwrap();
        for node in &nodes {
            let db = node.place.data_dir().join("member/snap/db");
            let has_key = || fs::read(&db).unwrap().windows(8).any(|bytes| bytes == b"greeting").then_some(());
            wait_for(LIMIT, has_key).expect("etcd writes its database within seconds");
        }
        nodes.iter_mut().for_each(Node::kill);

        let mounted: Vec<_> = nodes.iter().map(|node| node.place.wal_dir().unwrap()).collect();
        for wal in &mounted {
            fs::rename(wal, wal.with_extension("disk")).unwrap();
        }
        let mut joining: Vec<Process> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &joining {
            joining.wait_for_stderr("wait (no_quorum)", LIMIT);
        }
        joining.iter_mut().for_each(Process::kill);

        for wal in &mounted {
            fs::rename(wal.with_extension("disk"), wal).unwrap();
        }
        std::thread::scope(|scope| {
            for node in &mut nodes {
                scope.spawn(|| node.join(&[]));
            }
        });
        wait_until_healthy(&nodes);
        assert!(nodes[0].etcdctl(&["get", "greeting"]).unwrap().contains("hello"));
    });
}

#[test]
fn the_promoter_reports_that_a_cluster_exists() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut node = Node::new(&version, &registry, "infra0");
    // `convene join` is the only command that runs.
    let mut joining = node.call("join", &[]).spawn();
    node.start_with_result(&mut joining);
    wait_until_healthy(std::slice::from_ref(&node));
    let known = wait_for(LIMIT, || registry.administer(&["status"]).contains("bootstrapped").then_some(()));
    known.expect("the promoter reports that etcd runs");
}

#[test]
fn without_peer_urls_a_member_keeps_its_own() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(2);
    let mut nodes = form(&version, &registry, 2);
    let before = wait_until_healthy(&nodes);

    let promoted = nodes[0].call_with_name_only("promote").run(LIMIT);
    assert_eq!(promoted.code, Some(0), "{}", promoted.stderr);
    assert_eq!(wait_until_healthy(&nodes), before);

    nodes[0].kill();
    let mut joining = nodes[0].call_with_name_only("join").spawn();
    nodes[0].start_with_result(&mut joining);
    assert_eq!(wait_until_healthy(&nodes), before);
}

#[test]
fn a_deleted_cluster_is_unknown_and_its_registry_is_not_unreachable() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    let before = wait_until_healthy(&nodes);
    nodes[0].kill();
    registry.administer(&["cluster", "delete", &registry.url]);

    let ended = nodes[0].join(&["--offline-grace=2s"]);
    for line in ["wait (unknown_cluster)", "start (unknown_cluster)"] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("unreachable"), "{}", ended.stderr);
    assert_eq!(wait_until_healthy(&nodes), before);

    let ended = Node::new(&version, &registry, "infra1").call("join", &[]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("(unknown_cluster)"), "{}", ended.stderr);
}

#[test]
fn leave_on_the_wrong_machine_is_refused() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(2);
    let nodes = form(&version, &registry, 2);
    let elsewhere = Node::new(&version, &registry, "infra1");
    let left = elsewhere.call("leave", &["--timeout=10s"]).run(LIMIT);
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    assert!(left.stderr.contains("name_taken"), "{}", left.stderr);
    wait_until_healthy(&nodes);
}

#[test]
fn leave_with_unreadable_data_is_refused() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(2);
    let mut nodes = form(&version, &registry, 2);
    nodes[1].kill();
    let wal = nodes[1].place.data_dir().join("member/wal");
    for segment in fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()) {
        if segment.extension().is_some_and(|extension| extension == "wal") {
            fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(10).unwrap();
        }
    }
    let left = nodes[1].call("leave", &["--timeout=10s"]).run(LIMIT);
    assert_eq!(left.code, Some(3), "{}", left.stderr);
    assert!(left.stderr.contains("convene member evict infra1"), "{}", left.stderr);
}

#[test]
fn a_second_join_on_the_same_node_is_refused() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(2);
    let node = Node::new(&version, &registry, "infra0");
    let first = node.spawn_join(&[]);
    first.wait_for_stderr("wait (forming)", LIMIT);
    let second = node.call("join", &[]).run(LIMIT);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(second.stderr.contains("another `convene join` or `convene run` is already running"), "{}", second.stderr);
}

#[test]
fn join_is_refused_while_etcd_runs() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let nodes = form(&version, &registry, 1);
    let ended = nodes[0].call("join", &[]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("already"), "{}", ended.stderr);
}
