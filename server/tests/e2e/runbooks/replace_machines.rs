use super::*;

const PAGE: &str = "docs/runbooks/replace-machines.md";

mod large {
    use super::*;

    #[test]
    fn machines_are_replaced() {
        let Some(mut installation) = Installation::with_cluster("3.6") else { return };
        let mut page = Page::steps(PAGE);
        let token = [page.take("Make a join token"), page.take("Make a join token")];

        // infra2 dies, and infra3 waits as a spare.
        let node = installation.boot_prepared_node(3).name.clone();
        installation.let_in(&token, 3);
        installation.node(&node).types("systemctl start etcd-node");
        installation.node(&node).types("curl -fsS http://127.0.0.1:2382/spare");
        installation.lose("infra2");
        installation.node(&node).types(WAIT_FOR_VOTER);
        let printed = installation.administrator_types(&page.take("A dead machine, with a spare"));
        assert!(printed.contains("it takes the place of infra2"), "{printed}");

        // infra1 dies without a spare, and an administrator does not wait.
        installation.wait_for_crosscheck();
        installation.lose("infra1");
        installation.boot_prepared_node(4);
        installation.let_in(&token, 4);
        let evict = page.take_with("A dead machine without a spare", "evict").replace("infra2", "infra1");
        let printed = installation.administrator_types(&evict);
        assert!(printed.contains("is evicted"), "{printed}");
        installation.node("infra4").types(&page.take("A dead machine without a spare"));
        let printed = installation.node("infra4").types(&page.take("A dead machine without a spare"));
        assert!(printed.contains("add_member (below_size)") && printed.contains("promote (caught_up)"), "{printed}");

        // infra0 loses its disk, with the credential on it.
        installation.wait_for_crosscheck();
        installation
            .node("infra0")
            .types("systemctl stop etcd-node; find /var/lib/etcd -mindepth 1 -delete; rmdir /var/lib/etcd");
        installation.node("infra0").types(&page.take("A lost disk"));
        let printed = installation.node("infra0").types(&page.take("A lost disk"));
        assert!(printed.contains("convene: infra0"), "{printed}");
        let refused = "until journalctl -u etcd-node -o cat | grep join-token-used; do sleep 0.2; done";
        installation.node("infra0").types(refused);
        let of_infra0 = page.take("A lost disk").replace("infra1", "infra0").replace("10.0.0.11", "10.0.0.10");
        installation.administrator_types(&of_infra0);
        installation.node("infra0").types(&page.take("A lost disk"));
        let printed = installation.node("infra0").types(&page.take("A lost disk"));
        assert!(printed.contains("remove_member (lost_disk)") && printed.contains("promote (caught_up)"), "{printed}");
        installation.wait_for_crosscheck();

        // infra0 is exchanged for infra5.
        let section = "All machines, one after another";
        installation.administrator_types(&page.take(section));
        installation.boot_prepared_node(5);
        installation.let_in(&token, 5);
        installation.node("infra5").types(&page.take(section));
        let printed = installation.administrator_types(&page.take(section));
        assert!(printed.contains("is evicted"), "{printed}");
        let printed = installation.node("infra0").types(&page.take(section));
        assert!(printed.contains("this node's member was evicted"), "{printed}");
        installation.wait_for_crosscheck();
        installation.administrator_types(&page.take(section));
        let printed = installation.administrator_types(&page.take(section));
        assert!(printed.contains("now has size 3, was 4"), "{printed}");

        let printed = installation.administrator_types(&page.take("Lock a machine out"));
        assert!(printed.contains("is revoked"), "{printed}");
        let printed = installation.administrator_types(&page.take("Lock a machine out"));
        assert!(printed.contains("USED BY"), "{printed}");
        page.finish();
    }
}

impl Installation {
    /// Makes a join token for a node by the lines of the page, which are about infra3. The files come from a voter that runs.
    fn let_in(&self, [make, install]: &[String; 2], number: usize) {
        let of_node = |lines: &str| {
            let lines = lines.replace("infra3", &format!("infra{number}"));
            lines.replace("10.0.0.13", &format!("10.0.0.{}", 10 + number))
        };
        self.administrator_types(&of_node(make));
        self.node(&format!("infra{number}")).types(install);
        self.server.types(&of_node("rm discovery infra3-join-token"));
    }
}
