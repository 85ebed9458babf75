//! etcd's auth with passwords, without TLS.

use convene_harness::{etcd::Version, wait_for};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

const PASSWORD: &str = "a secret password";

#[test]
fn a_learner_is_promoted_although_it_accepts_no_logins() {
    with_each(Version::sample(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        version.turn_auth_on(&nodes[0].access, nodes[0].client_url(), PASSWORD);
        for node in &mut nodes {
            node.access = node.access.clone().and_user("root", PASSWORD);
        }
        nodes[2].lose_disk();
        nodes[2].join_and_promote();
        wait_until_healthy(&nodes);
    });
}

/// etcd 3.4 lets everyone read the member list.
#[test]
fn a_node_that_etcd_denies_requests_claims_no_more_than_it_sees() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(3);
    let mut nodes = form(&version, &registry, 3);
    version.turn_auth_on(&nodes[0].access, nodes[0].client_url(), PASSWORD);
    let spare = Node::new(&version, &registry, "infra3");
    let mut waiting = spare.spawn_join(&[]);
    let found = "wait (no_quorum): this node sees no quorum: the members answer, but this node can't confirm a leader";
    let is_logged = |line: &str| line.contains(found) && line.contains(" denies permission: ");
    let logged = wait_for(LIMIT, || waiting.stderr().lines().any(is_logged).then_some(()));
    logged.unwrap_or_else(|| panic!("{}", waiting.stderr()));
    waiting.kill();

    nodes[2].kill();
    let started = nodes[2].join(&[]).stderr;
    assert!(started.contains("start (own_data)"), "{started}");
    assert!(started.contains("; errors seen from this node: "), "{started}");
}
