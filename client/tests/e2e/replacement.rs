//! Members die and are replaced, while a client writes all the time.

use std::time::{Duration, Instant};

use convene_harness::{
    Process,
    cluster::member_list,
    etcd::Version,
    writer::{Report, Writer},
};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

#[test]
fn a_node_that_lost_its_disk_joins_again_under_its_name() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = wait_until_healthy(&nodes);
        let writer = writer(&nodes);

        nodes[2].lose_disk();
        nodes[2].join_and_promote();

        let after = wait_until_healthy(&nodes);
        assert_ne!(before, after, "the new member has another ID");
        assert_eq!(before.iter().filter(|member| after.contains(member)).count(), 2);
        assert_never_interrupted(&writer.finish());
    });
}

#[test]
fn a_new_machine_waits_as_a_spare_and_replaces_a_member_once_it_is_dead() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = wait_until_healthy(&nodes);
        let writer = writer(&nodes);

        let mut spare = Node::new(version, &registry, "infra3");
        let mut joining = spare.spawn_join(&[]);
        joining.wait_for_stderr("stand_by (full)", LIMIT);

        nodes[1].kill();
        let died = Instant::now();
        let survivor = nodes[0].client_url().to_owned();
        joining.wait_for_stderr("wait (", LIMIT);
        assert_eq!(still_listed(version, &nodes[0], &survivor), before.len());
        joining.wait_for_stderr("removing member", LIMIT);
        assert!(died.elapsed() >= Duration::from_secs(5), "removed {:?} after its death", died.elapsed());

        spare.start_with_result(&mut joining);
        spare.promote();
        nodes[1] = spare;
        wait_until_healthy(&nodes);
        assert_never_interrupted(&writer.finish());
    });
}

#[test]
fn with_once_a_surplus_node_is_refused() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let nodes = form(&version, &registry, 1);
    let ended = Node::new(&version, &registry, "infra1").call("join", &["--once"]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    wait_until_healthy(&nodes);
}

#[test]
fn the_promoter_promotes_a_learner() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    registry.administer(&["cluster", "resize", "2"]);
    let mut second = Node::new(&version, &registry, "infra1");
    let mut joining: Process = second.call("join", &[]).spawn();
    second.start_with_result(&mut joining);
    nodes.push(second);
    wait_until_healthy(&nodes);
}

fn still_listed(version: &Version, node: &Node, endpoint: &str) -> usize {
    member_list(version, &node.place.access(), endpoint).unwrap().len()
}

/// A client that writes through all of these nodes.
pub fn writer(nodes: &[Node]) -> Writer {
    let first = nodes.first().expect("a cluster has a node");
    let writer = Writer::start(&first.access, &nodes.iter().map(Node::client_url).collect::<Vec<_>>());
    writer.wait_for_writes(10, LIMIT);
    writer
}

/// No acknowledged write is lost, and no gap is longer than an election.
pub fn assert_never_interrupted(report: &Report) {
    assert!(report.acknowledged > 0, "{report:?}");
    assert!(report.lost.is_empty(), "{report:?}");
    assert!(report.max_probe_gap < Duration::from_secs(10), "{report:?}");
}
