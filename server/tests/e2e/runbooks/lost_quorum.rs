use super::*;

const PAGE: &str = "docs/runbooks/lost-quorum-and-restore.md";

mod large {
    use super::*;

    #[test]
    fn a_lost_quorum_comes_back_is_forced_restored_and_reset() {
        if peers::program("etcd-3.6", "etcdutl").is_none() {
            return;
        }
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let [infra0, others @ ..] = &installation.nodes[..] else { unreachable!("there are three") };
        let mut page = Page::steps(PAGE);
        node_types(infra0, "etcdctl put color red");

        // Two machines are down, and come back.
        for node in others {
            node.types("systemctl stop etcd-node");
        }
        let printed = node_types(infra0, &page.take("When to use"));
        assert!(printed.contains("Quorum:       no, seen from here"), "{printed}");
        let printed = node_types(infra0, &page.take("Before you start"));
        assert!(printed.contains("RAFT INDEX"), "{printed}");
        infra0.types(&page.take("Before you start"));
        let start = page.take("Bring members back");
        for node in others {
            node.types(&start);
        }
        for node in &installation.nodes {
            node.types(WAIT_FOR_VOTER);
        }
        node_types(infra0, GET_COLOR);

        installation.force_a_new_cluster(&mut page);
        let printed = node_types(infra0, GET_COLOR);
        assert!(printed.contains("red"), "{printed}");

        node_types(infra0, "etcdctl snapshot save /root/snapshot.db; etcdctl put color blue");
        installation.restore_a_snapshot(&mut page);
        let printed = node_types(infra0, GET_COLOR);
        assert!(printed.contains("red"), "{printed}");

        installation.reset(&mut page);
        let printed = node_types(infra0, GET_COLOR);
        assert!(!printed.contains("red"), "{printed}");
        page.finish();
    }
}

const GET_COLOR: &str = "until etcdctl get color; do sleep 0.2; done";

impl Installation {
    /// Only infra0 is left, and the others come back later.
    fn force_a_new_cluster(&self, page: &mut Steps) {
        const SECTION: &str = "Force a new cluster on one member";
        let [infra0, others @ ..] = &self.nodes[..] else { unreachable!("there are three") };
        let disable = page.take(SECTION);
        for node in others {
            node.types(&disable);
        }
        infra0.types(&page.take(SECTION));
        let printed = node_types(infra0, &page.take(SECTION));
        assert_eq!(printed.matches("started").count(), 1, "{printed}");
        let printed = self.administrator_types(&without_tls(&page.take(SECTION)));
        assert!(printed.contains("would have etcd cluster") && printed.contains("infra1 removed"), "{printed}");
        let printed = self.administrator_types(&without_tls(&page.take(SECTION)));
        assert!(printed.contains("now has etcd cluster") && printed.contains("in epoch 1"), "{printed}");
        infra0.types(&page.take(SECTION));
        let join = page.take(SECTION);
        for node in others {
            node.types(&join);
            let log = node.types("journalctl -u etcd-node -o cat");
            let steps = ["archive_data (removed_member)", "add_member (below_size)", "promote (caught_up)"];
            assert!(steps.iter().all(|step| log.contains(step)), "{log}");
        }
        self.wait_for_crosscheck();
    }

    /// Goes back to a snapshot that root of infra0 has.
    fn restore_a_snapshot(&self, page: &mut Steps) {
        const SECTION: &str = "Restore a snapshot";
        let [infra0, others @ ..] = &self.nodes[..] else { unreachable!("there are three") };
        let stop = page.take(SECTION);
        for node in &self.nodes {
            node.types(&stop);
        }
        let printed = infra0.types(&page.take(SECTION));
        assert!(printed.contains("restored snapshot"), "{printed}");
        let printed = infra0.types(&page.take(SECTION));
        assert!(printed.contains("start (uncertain)"), "{printed}");
        infra0.types("until journalctl -u etcd-node -o cat | grep 'refuse (foreign_cluster)'; do sleep 0.2; done");
        let printed = self.administrator_types(&without_tls(&page.take(SECTION)));
        assert!(printed.contains("now has etcd cluster") && printed.contains("in epoch 2"), "{printed}");
        infra0.types(&page.take(SECTION));
        let join = page.take(SECTION);
        for node in others {
            node.types(&join);
            let log = node.types("journalctl -u etcd-node -o cat");
            assert!(log.contains("archive_data (earlier_epoch)"), "{log}");
        }
        infra0.types("rm /var/lib/etcd/snapshot.db");
        self.wait_for_crosscheck();
    }

    /// Forms an empty cluster.
    fn reset(&self, page: &mut Steps) {
        const SECTION: &str = "Reset the cluster";
        let stop = page.take(SECTION);
        for node in &self.nodes {
            node.types(&stop);
        }
        let printed = self.administrator_types(&page.take(SECTION));
        assert!(printed.contains("form a new etcd cluster in epoch 3"), "{printed}");
        let (consent, wait) = (page.take(SECTION), page.take(SECTION));
        for node in &self.nodes {
            node.types(&consent);
        }
        for node in &self.nodes {
            node.types(&wait);
        }
        self.wait_for_crosscheck();
    }
}
