//! Members die and are replaced, while somebody depends on the cluster all the time.

use std::time::{Duration, Instant};

use convene_harness::{
    Process,
    cluster::member_list,
    etcd::Version,
    writer::{Report, Writer},
};

use crate::node::{LIMIT, Node, Registry, form, wait_until_whole, with_each};

#[test]
fn a_node_that_lost_its_disk_gets_back_in_under_its_name() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = wait_until_whole(&nodes);
        let writer = writer(&nodes);

        nodes[2].lose_disk();
        nodes[2].get_in();

        let after = wait_until_whole(&nodes);
        assert_ne!(before, after, "the member is another one, because etcd never forgets a removed one");
        assert_eq!(before.iter().filter(|member| after.contains(member)).count(), 2);
        wrote_all_along(&writer.finish());
    });
}

#[test]
fn a_new_machine_waits_as_a_spare_and_replaces_a_member_once_it_is_dead() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = wait_until_whole(&nodes);
        let writer = writer(&nodes);

        let mut spare = Node::new(version, &registry, "infra3");
        let mut joining = spare.spawn_join(&[]);
        joining.wait_for_stderr("stand_by (full)", LIMIT);

        nodes[1].die();
        let died = Instant::now();
        let survivor = nodes[0].client_url().to_owned();
        joining.wait_for_stderr("not_dead_yet", LIMIT);
        assert_eq!(still_listed(version, &nodes[0], &survivor), before.len());
        joining.wait_for_stderr("removing member", LIMIT);
        assert!(died.elapsed() >= Duration::from_secs(5), "removed {:?} after its death", died.elapsed());

        spare.start_when_told(&mut joining);
        spare.promote();
        nodes[1] = spare;
        wait_until_whole(&nodes);
        wrote_all_along(&writer.finish());
    });
}

#[test]
fn a_node_that_is_not_needed_is_refused_if_it_does_not_want_to_wait() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let nodes = form(&version, &registry, 1);
    let ended = Node::new(&version, &registry, "infra1").call("join", &["--once"]).run(LIMIT);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("refused"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    wait_until_whole(&nodes);
}

#[test]
fn whoever_runs_no_promote_is_promoted_all_the_same() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    registry.administer(&["cluster", "resize", "2"]);
    let mut second = Node::new(&version, &registry, "infra1");
    let mut joining: Process = second.call("join", &[]).spawn();
    second.start_when_told(&mut joining);
    nodes.push(second);
    wait_until_whole(&nodes);
}

fn still_listed(version: &Version, node: &Node, endpoint: &str) -> usize {
    member_list(version, &node.place.access(), endpoint).unwrap().len()
}

/// Somebody who writes through all of these.
pub fn writer(nodes: &[Node]) -> Writer {
    let first = nodes.first().expect("a cluster has a node");
    let writer = Writer::start(&first.access, &nodes.iter().map(Node::client_url).collect::<Vec<_>>());
    writer.wait_for_writes(10, LIMIT);
    writer
}

/// Nothing that was acknowledged is lost, and there was no longer gap than an election makes.
pub fn wrote_all_along(report: &Report) {
    assert!(report.acknowledged > 0, "{report:?}");
    assert!(report.lost.is_empty(), "{report:?}");
    assert!(report.max_probe_gap < Duration::from_secs(10), "{report:?}");
}
