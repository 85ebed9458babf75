//! The order of leaving: `convene leave` first, while etcd runs.

use convene_harness::etcd::Version;

use crate::{
    node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each},
    replacement::{assert_never_interrupted, writer},
};

#[test]
fn one_of_two_voters_leaves_while_its_etcd_runs_but_not_after_it_has_stopped() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(2);
        let mut nodes = form(version, &registry, 2);

        nodes[1].kill();
        let refused = nodes[1].call("leave", &[]).run(LIMIT);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        for words in [
            "this node's etcd is stopped",
            "2 voters, of which 1 answers; a quorum is 2",
            "start etcd on this node, then run `convene leave` while it runs (no_quorum)",
        ] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }

        // As the message advises.
        nodes[1].join(&[]);
        wait_until_healthy(&nodes);
        let writer = writer(&nodes);
        writer.wait_for_writes(10, LIMIT);
        let mut leaving = nodes.pop().unwrap();
        writer.use_endpoints(&nodes.iter().map(Node::client_url).collect::<Vec<_>>());
        let left = leaving.call("leave", &[]).run(LIMIT);
        assert_eq!(left.code, Some(0), "{}", left.stderr);
        leaving.etcd().wait_for_exit(LIMIT);
        wait_until_healthy(&nodes);
        assert_never_interrupted(&writer.finish());
        assert!(leaving.place.data_dir().exists(), "the data stays");
    });
}
