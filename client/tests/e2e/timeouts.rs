//! The exit code of a command whose `--timeout` has passed tells a script whether the registry is down.

use convene_harness::etcd::Version;

use crate::node::{LIMIT, Node, Registry, join_together};

#[test]
fn a_slow_etcd_is_not_reported_as_an_unreachable_registry() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = [Node::new(&version, &registry, "infra0")];
    join_together(&mut nodes);
    registry.administer(&["cluster", "resize", "2"]);
    // A frozen etcd accepts connections and answers nothing, so that observing it takes longer than the timeout.
    nodes[0].etcd().signal("STOP");
    let joiner = Node::new(&version, &registry, "infra1");
    for (node, verb, more) in [(&joiner, "join", ""), (&joiner, "join", "--dry-run"), (&nodes[0], "leave", "")] {
        let flags: Vec<&str> = ["--timeout=2s", more].into_iter().filter(|flag| !flag.is_empty()).collect();
        let ended = node.call(verb, &flags).run(LIMIT);
        assert_eq!(ended.code, Some(4), "{verb} {more}: {}", ended.stderr);
    }
}

#[test]
fn a_registry_that_is_down_has_an_exit_code_of_its_own() {
    let Some(version) = Version::all().pop() else { return };
    let mut registry = Registry::new(1);
    let mut nodes = [Node::new(&version, &registry, "infra0")];
    join_together(&mut nodes);
    registry.crash();
    let left = nodes[0].call("leave", &["--timeout=2s"]).run(LIMIT);
    assert_eq!(left.code, Some(5), "{}", left.stderr);
    let shown = Node::new(&version, &registry, "infra1").call("join", &["--dry-run"]).run(LIMIT);
    assert_eq!(shown.code, Some(5), "{}", shown.stderr);
}
