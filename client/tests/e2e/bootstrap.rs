//! A cluster forms, and its nodes restart.

use convene_harness::{cluster::Member, etcd::Version};

use crate::node::{LIMIT, Node, Registry, form, join_together, wait_until_healthy, with_each};

#[test]
fn one_node_forms_a_cluster_and_restarts() {
    with_each(Version::sample(), |version| forms_and_restarts(version, 1));
}

#[test]
fn three_nodes_form_a_cluster_and_restart() {
    with_each(Version::all(), |version| forms_and_restarts(version, 3));
}

#[test]
fn five_nodes_form_a_cluster_and_restart() {
    with_each(Version::sample(), |version| forms_and_restarts(version, 5));
}

fn forms_and_restarts(version: &Version, size: usize) {
    let mut registry = Registry::new(size);
    let mut nodes = form(version, &registry, size);
    let members = wait_until_healthy(&nodes);
    nodes[0].etcd().etcdctl(&["put", "greeting", "hello"]).unwrap();

    restart_one(&mut nodes);
    assert_eq!(wait_until_healthy(&nodes), members);

    nodes.iter_mut().for_each(Node::kill);
    join_together(&mut nodes);
    assert_eq!(wait_until_healthy(&nodes), members);

    restart_without_server(&mut registry, &mut nodes, &members);
    assert!(nodes[size - 1].etcd().etcdctl(&["get", "greeting"]).unwrap().contains("hello"));
}

fn restart_one(nodes: &mut [Node]) {
    let peer_urls: Vec<String> = nodes.iter().map(|node| node.place.peer_url.clone()).collect();
    let node = &mut nodes[0];
    node.kill();
    let ended = node.join(&[]);
    assert!(ended.stderr.contains("start"), "{}", ended.stderr);
    for peer_url in peer_urls {
        assert!(ended.stdout.contains(&peer_url), "{peer_url} is not in {}", ended.stdout);
    }
}

fn restart_without_server(registry: &mut Registry, nodes: &mut [Node], members: &[Member]) {
    registry.crash();
    nodes[0].kill();
    let ended = nodes[0].join(&["--offline-grace=2s"]);
    assert!(ended.stderr.contains("unreachable"), "{}", ended.stderr);
    assert_eq!(wait_until_healthy(nodes), members);
}

#[test]
fn a_node_without_data_does_not_start_without_the_server() {
    let Some(version) = Version::all().pop() else { return };
    let mut registry = Registry::new(1);
    registry.crash();
    let ended =
        Node::new(&version, &registry, "infra0").call("join", &["--timeout=3s", "--offline-grace=1s"]).run(LIMIT);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert!(ended.stderr.contains("without data"), "{}", ended.stderr);
}
