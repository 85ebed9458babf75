//! Copies of a member's disk that run next to the original.

use convene_harness::{Place, etcd::Version};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

#[test]
fn the_cluster_does_not_point_at_a_drill_next_to_the_original() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let drill = Node::at(copy_of(&mut nodes, 0), version, &registry, "infra0");
        let forced = version.start(&drill.place, &["--name", "infra0", "--force-new-cluster"]);
        forced.wait_until_healthy(LIMIT);
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

/// A copy of a member's disk at another address. The member runs again.
pub fn copy_of(nodes: &mut [Node], number: usize) -> Place {
    nodes[number].kill();
    let copy = nodes[number].place.copied();
    nodes[number].join(&[]);
    wait_until_healthy(nodes);
    copy
}
