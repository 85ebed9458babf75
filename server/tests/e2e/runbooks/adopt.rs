use super::*;

const PAGE: &str = "docs/adopt.md";

mod large {
    use super::*;

    /// A unit that starts etcd alone, as distributions have it.
    const UNIT: &str = "[Service]\nType=notify\nExecStart=/usr/local/bin/etcd\nEnvironmentFile=/etc/etcd.env\nUser=etcd\n\
                        StateDirectory=etcd\n[Install]\nWantedBy=multi-user.target\n";

    #[test]
    fn a_running_cluster_is_adopted_and_given_back() {
        let Some(mut installation) = Installation::with_server("3.6") else { return };
        for number in 0..3 {
            let node = installation.boot_node(number);
            create_etcd_user(&node);
            let settings: String = node_env(number)
                .lines()
                .filter(|line| line.starts_with("ETCD_"))
                .map(|line| format!("{line}\n"))
                .collect();
            let initial = "ETCD_INITIAL_CLUSTER=infra0=http://10.0.0.10:2380,infra1=http://10.0.0.11:2380,infra2=http://10.0.0.12:2380\n";
            node.writes("/etc/etcd.env", &format!("{settings}{initial}"));
            node.writes("/etc/systemd/system/etcd.service", UNIT);
            start_etcd_unit(&node);
            installation.nodes.push(node);
        }
        let mut page = Page::steps(PAGE);
        let etcdctl =
            "export ETCDCTL_ENDPOINTS=http://10.0.0.10:2379\nuntil etcdctl endpoint health; do sleep 0.2; done\n";
        installation.node("infra0").types(&format!("{etcdctl}{}", page.take("Before you start")));

        let section = "Any cluster";
        installation.server.types(&page.take(section));
        let printed = installation.administrator_types(&page.take(section));
        assert!(
            ["infra0", "infra1", "infra2"].iter().all(|name| printed.contains(&format!("{name} added as voter"))),
            "{printed}"
        );
        let printed = installation.administrator_types(&page.take(section));
        assert!(printed.contains("bootstrapped"), "{printed}");
        let (ask, change) = (page.take(section), page.take(section));
        for number in 0..3 {
            installation.adopt_node(number, &ask, &change);
        }
        installation.administrator_types(&page.take(section));
        installation.wait_for_crosscheck();
        let printed = node_types(installation.node("infra1"), &page.take(section));
        assert!(printed.contains("Quorum:       yes"), "{printed}");

        let back = page.take(section);
        for node in &installation.nodes {
            node.types(&back);
        }
        let printed = installation.server.types(&page.take(section));
        assert!(printed.contains("its etcd nodes keep running"), "{printed}");
        // stock_discovery.rs types this section.
        page.leave_out("Stock discovery on this server");
        let back = "Back to elastic-etcd";
        let printed = installation.administrator_types(&format!("rm discovery join-token\n{}", page.take(back)));
        assert!(printed.contains("on each of the 3 nodes"), "{printed}");
        page.finish();
    }
}

impl Installation {
    /// Installs the agent on the node of a running etcd, asks what it would do, and lets it take the place of etcd's own unit.
    pub(super) fn adopt_node(&self, number: usize, ask: &str, change: &str) {
        let node = self.node(&format!("infra{number}"));
        self.server.types(&format!("scp discovery join-token {}:", node.name));
        let mut install = Page::steps("docs/install.md");
        install.take("Install a node");
        node.types(&install.take("Install a node"));
        node.writes("/etc/convene/node.env", &node_env(number));
        let printed = node.types(ask);
        assert!(printed.contains("start (own_data)"), "{printed}");
        let printed = node.types(change);
        assert!(printed.contains("voter: "), "{printed}");
    }
}
