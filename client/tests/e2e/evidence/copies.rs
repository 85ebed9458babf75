//! Copies of a member's disk that run next to the original.

use std::sync::Arc;

use convene_harness::{
    Place,
    etcd::{Etcd, Version},
    wait_for,
};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

#[test]
fn the_cluster_does_not_point_at_a_drill_next_to_the_original() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let drill = Node::at(copy_of(&mut nodes, 0), version, &registry, "infra0");
        let _forced = start_drill(version, &drill.place, &[]);
        let ended = drill.call("promote", &["--timeout=10s"]).run(LIMIT);
        assert!(
            ended.stderr.contains("wait (node_refused): this node does not execute update_member"),
            "{}",
            ended.stderr
        );

        for node in &mut nodes[1..] {
            node.kill();
            let ended = node.join(&[]);
            assert!(!ended.stderr.contains("archive_data"), "{}", ended.stderr);
        }
        wait_until_healthy(&nodes);
        assert_eq!(nodes.iter().map(Node::member_id).collect::<Vec<_>>(), ids);
    });
}

#[test]
fn leaving_on_a_copy_does_not_remove_the_member_that_runs() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let copy = Node::at(copy_of(&mut nodes, 0), version, &registry, "infra0");
        let original = nodes[0].place.clone();
        // The copy finds the original's URLs in its own configuration, which was copied as well, or in the registry.
        let configured = copy
            .call_with_name_only("leave")
            .env("ETCD_INITIAL_ADVERTISE_PEER_URLS", &original.peer_url)
            .env("ETCD_ADVERTISE_CLIENT_URLS", &original.client_url);
        for leaving in [configured, copy.call_with_name_only("leave")] {
            let refused = leaving.run(LIMIT);
            assert_eq!(refused.code, Some(3), "{}", refused.stderr);
            let runs = format!("etcd runs as member infra0 ({}) at {}", ids[0], original.client_url);
            for words in [&*runs, "not on this node's data", "`convene member evict NAME`", "(runs_elsewhere)"] {
                assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
            }
        }
        wait_until_healthy(&nodes);
        assert_eq!(nodes.iter().map(Node::member_id).collect::<Vec<_>>(), ids);

        let left = nodes[0].call("leave", &[]).run(LIMIT);
        assert_eq!(left.code, Some(0), "{}", left.stderr);
    });
}

/// Starts a cluster of one member from a copy of `infra0`'s disk, and returns its etcd once that is healthy.
///
/// If the original's peers run, they may send a heartbeat before the copy has applied that it is alone, and then its etcd
/// panics (`tocommit is out of range`). Then it starts again, as with an operator.
pub fn start_drill(version: &Version, place: &Arc<Place>, flags: &[&str]) -> Etcd {
    let start = || version.start(place, &[&["--name", "infra0", "--force-new-cluster"], flags].concat());
    let mut forced = start();
    let healthy = wait_for(LIMIT, || {
        if !forced.is_running() {
            forced = start();
        }
        forced.etcdctl(&["endpoint", "health"]).ok()
    });
    assert!(healthy.is_some(), "the drill does not get healthy:\n{}", forced.output());
    forced
}

/// A copy of a member's disk at another address. The member runs again.
pub fn copy_of(nodes: &mut [Node], number: usize) -> Place {
    nodes[number].kill();
    let copy = nodes[number].place.copied();
    nodes[number].join(&[]);
    wait_until_healthy(nodes);
    copy
}
