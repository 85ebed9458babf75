//! A place is given only to a node whose disk can take a member's data.

use std::fs;

use convene_harness::etcd::Version;

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy};

#[test]
fn a_spare_with_a_read_only_disk_leaves_the_place_to_another_one() {
    leave_the_place_to_another_one("ro", "is mounted read-only");
}

mod large {
    #[test]
    fn a_spare_with_a_small_disk_leaves_the_place_to_another_one() {
        // What `convene` keeps there takes some pages.
        super::leave_the_place_to_another_one("size=16m", "has 15 MiB of free space");
    }
}

/// The spare with the bad disk is the first one that would replace a dead member.
fn leave_the_place_to_another_one(mount_options: &str, found: &str) {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(3);
    let mut nodes = form(&version, &registry, 3);
    let bad = Node::new(&version, &registry, "infra3");
    fs::create_dir(bad.place.data_dir()).unwrap();
    let call = bad.call("join", &["--no-promote"]).with_disk(&bad.place.data_dir(), mount_options);
    let Some(call) = call else { return };
    let mut waiting = call.spawn();
    waiting.wait_for_stderr("stand_by (full)", LIMIT);
    let before = nodes[0].member_id();

    nodes[1].kill();
    let refused =
        format!("this node does not execute remove_member: the filesystem of {}", bad.place.data_dir().display());
    waiting.wait_for_stderr(&refused, LIMIT);
    assert!(waiting.stderr().contains(found), "{}", waiting.stderr());
    let mut good = Node::new(&version, &registry, "infra4");
    good.join_and_promote();
    nodes[1] = good;
    let members = wait_until_healthy(&nodes);
    assert!(members.iter().any(|member| member.id == before), "only the dead member was replaced: {members:?}");
    assert!(!waiting.stderr().contains("removing member"), "{}", waiting.stderr());
    let events = registry.administer(&["cluster", "events"]);
    assert!(events.contains("node_refused") && events.contains(found), "{events}");
    waiting.kill();
}
