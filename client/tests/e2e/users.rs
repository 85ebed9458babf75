//! etcd's auth with passwords, without TLS.

use convene_harness::etcd::Version;

use crate::node::{Registry, form, wait_until_healthy, with_each};

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
