//! etcd's auth is on, and passwords are all that there is to show: no certificates.

use convene_harness::etcd::Version;

use crate::node::{Registry, form, wait_until_whole, with_each};

const PASSWORD: &str = "a word that nobody knows";

#[test]
fn a_learner_is_promoted_though_it_lets_nobody_log_in() {
    with_each(Version::all(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        version.turn_auth_on(&nodes[0].access, nodes[0].client_url(), PASSWORD);
        for node in &mut nodes {
            node.access = node.access.clone().and_user("root", PASSWORD);
        }
        nodes[2].lose_disk();
        nodes[2].get_in();
        wait_until_whole(&nodes);
    });
}
