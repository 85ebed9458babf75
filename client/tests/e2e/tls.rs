//! TLS for peers and clients, with client certificates, and with etcd's auth on.

use std::time::Duration;

use convene_harness::{Place, cluster::member_list, etcd::Version, tls::Ca, wait_for, writer::Writer};

use crate::{
    node::{LIMIT, Node, Registry, join_together, wait_until_healthy, with_each},
    replacement::assert_never_interrupted,
};

const PASSWORD: &str = "a secret password";

#[test]
fn a_cluster_with_tls_and_auth_forms_restarts_and_is_repaired() {
    with_each(Version::oldest_and_newest(), |version| {
        let ca = Ca::new();
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> =
            (0..3).map(|number| secured(&ca, version, &registry, &format!("infra{number}"))).collect();
        join_together(&mut nodes);
        wait_until_healthy(&nodes);
        turn_auth_on(&mut nodes);
        let members = wait_until_healthy(&nodes);

        nodes[0].kill();
        nodes[0].join(&[]);
        assert_eq!(wait_until_healthy(&nodes), members);
        nodes.iter_mut().for_each(Node::kill);
        join_together(&mut nodes);
        assert_eq!(wait_until_healthy(&nodes), members);

        let writer = Writer::start(&nodes[0].access, &nodes.iter().map(Node::client_url).collect::<Vec<_>>());
        writer.wait_for_writes(10, LIMIT);
        nodes[2].lose_disk();
        nodes[2].join_and_promote();
        wait_until_healthy(&nodes);

        let mut spare = secured(&ca, version, &registry, "infra3");
        spare.access = nodes[0].access.clone();
        let mut joining = spare.spawn_join(&[]);
        joining.wait_for_stderr("stand_by (full)", LIMIT);
        nodes[1].kill();
        spare.start_with_result(&mut joining);
        spare.promote();
        nodes[1] = spare;
        wait_until_healthy(&nodes);
        assert_never_interrupted(&writer.finish());
    });
}

#[test]
fn a_node_with_an_untrusted_certificate_changes_nothing_and_logs_why() {
    let Some(version) = Version::all().pop() else { return };
    let (ca, other) = (Ca::new(), Ca::new());
    let registry = Registry::new(1);
    let mut nodes = vec![secured(&ca, &version, &registry, "infra0")];
    join_together(&mut nodes);
    wait_until_healthy(&nodes);
    registry.administer(&["cluster", "resize", "2"]);
    let ended = secured(&other, &version, &registry, "infra1").call("join", &["--timeout=6s"]).run(LIMIT);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("no_quorum"), "{}", ended.stderr);
    assert!(ended.stderr.contains("certificate"), "{}", ended.stderr);
}

#[test]
fn a_member_with_an_untrusted_certificate_does_not_count_as_dead() {
    with_each(Version::oldest_and_newest(), |version| {
        let (old, new) = (Ca::new(), Ca::new());
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> = [&old, &old, &new]
            .iter()
            .enumerate()
            .map(|(number, ca)| {
                let place = Place::with_tls(&ca.node().trusting(&[&old, &new]));
                Node::at(place, version, &registry, &format!("infra{number}"))
            })
            .collect();
        join_together(&mut nodes);
        let before = wait_until_healthy(&nodes);

        // The spare does not trust the new CA yet.
        let spare = secured(&old, version, &registry, "infra3");
        let joining = spare.spawn_join(&[]);
        joining.wait_for_stderr("stand_by (full)", LIMIT);
        let list = || member_list(version, &nodes[0].access, nodes[0].client_url()).unwrap();
        // More than twice dead_after.
        let changed = wait_for(Duration::from_secs(12), || Some(list()).filter(|members| *members != before));
        assert_eq!(changed, None, "{}", joining.stderr());
        assert!(!joining.stderr().contains("not_dead_yet"), "{}", joining.stderr());
    });
}

fn secured(ca: &Ca, version: &Version, registry: &Registry, name: &str) -> Node {
    Node::at(Place::with_tls(&ca.node()), version, registry, name)
}

fn turn_auth_on(nodes: &mut [Node]) {
    nodes[0].version.turn_auth_on(&nodes[0].access, nodes[0].client_url(), PASSWORD);
    for node in nodes {
        node.access = node.access.clone().and_user("root", PASSWORD);
    }
}
