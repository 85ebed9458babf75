//! Clusters grow and shrink, while a client writes all the time.

use convene_harness::etcd::Version;

use crate::{
    node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each},
    replacement::{assert_never_interrupted, writer},
};

#[test]
fn a_cluster_grows_from_one_to_three_to_five_and_shrinks_to_three() {
    with_each(Version::sample(), |version| {
        let registry = Registry::new(1);
        let mut nodes = form(version, &registry, 1);
        let writer = writer(&nodes);
        for size in [3, 5] {
            registry.administer(&["cluster", "resize", &size.to_string()]);
            grow(&mut nodes, version, &registry, size);
            writer.use_endpoints(&nodes.iter().map(Node::client_url).collect::<Vec<_>>());
            writer.wait_for_writes(10, LIMIT);
        }

        registry.administer(&["cluster", "resize", "3"]);
        for _ in 3..5 {
            let mut leaving = nodes.pop().unwrap();
            writer.use_endpoints(&nodes.iter().map(Node::client_url).collect::<Vec<_>>());
            let ended = leaving.call("leave", &[]).run(LIMIT);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            leaving.etcd().wait_for_exit(LIMIT);
        }
        wait_until_healthy(&nodes);
        assert_never_interrupted(&writer.finish());
    });
}

/// All new nodes join at the same time; etcd admits one after another.
fn grow(nodes: &mut Vec<Node>, version: &Version, registry: &Registry, size: usize) {
    let mut newcomers: Vec<Node> =
        (nodes.len()..size).map(|number| Node::new(version, registry, &format!("infra{number}"))).collect();
    std::thread::scope(|scope| {
        for newcomer in &mut newcomers {
            scope.spawn(|| newcomer.join_and_promote());
        }
    });
    nodes.append(&mut newcomers);
    wait_until_healthy(nodes);
}

#[test]
fn a_node_raises_the_size_only_if_the_policy_allows_it_and_never_lowers_it() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    let mut second = Node::new(&version, &registry, "infra1");
    let refused = second.call("join", &["--cluster-size=2", "--once"]).run(LIMIT);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("convene cluster resize 2"), "{}", refused.stderr);
    registry.allow_stock_writes();
    second.join(&["--cluster-size=2"]);
    second.promote();
    nodes.push(second);
    wait_until_healthy(&nodes);

    let third = Node::new(&version, &registry, "infra2").call("join", &["--cluster-size=1", "--once"]).run(LIMIT);
    assert_eq!(third.code, Some(3), "{}", third.stderr);
    wait_until_healthy(&nodes);
}
