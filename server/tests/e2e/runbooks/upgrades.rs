use super::*;

mod large {
    use super::*;

    #[test]
    fn etcd_is_upgraded_from_3_5_to_3_6() {
        let Some(installation) = Installation::with_cluster("3.5") else { return };
        let Some(new) = Version::find("3.6") else { return };
        let mut page = Page::steps("docs/runbooks/upgrade-etcd.md");
        node_types(installation.node("infra0"), &page.take("Before you start"));
        let (version, flags) = (page.take("Before you start"), page.take("Before you start"));
        let steps: Vec<String> = (0..4).map(|_| page.take("Steps")).collect();
        for node in &installation.nodes {
            node.receives_etcd(&new, "etcd-new");
            assert!(node.types(&version).contains("etcd Version: 3.6."));
            node.types(&flags);
            for step in &steps[..3] {
                node.types(step);
            }
            node_types(node, &steps[3]);
        }
        installation.wait_for_crosscheck();
        installation.administrator_types(&page.take("Steps"));
        let printed = installation.nodes[0].types(&steps[3]);
        assert_eq!(printed.matches("|  3.6.").count(), 3, "{printed}");

        let endpoint = "until etcdctl endpoint status -w json | grep '\"storageVersion\":\"3.6'; do sleep 0.5; done\n";
        let printed = node_types(&installation.nodes[0], &format!("{endpoint}{}", page.take("Back out")));
        assert!(printed.contains("Downgrade enable success"), "{printed}");
        page.finish();
    }

    #[test]
    fn convene_is_upgraded() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        const PAGE: &str = "docs/runbooks/upgrade-convene.md";
        let mut page = Page::steps(PAGE);
        let put = "cp -r target/dist convene-new";
        let check = page.take("Before you start");
        installation.server.types(put);
        installation.server.types(&check);
        installation.server.types(&page.take("One server"));
        installation.administrator_types(&format!(
            "until convene cluster list; do sleep 0.2; done\n{}",
            page.take("One server")
        ));
        // postgresql.rs types this section.
        page.leave_out("Several servers");
        let (steps, version, without) = (page.take("Nodes"), page.take("Nodes"), page.take("Nodes"));
        for node in &installation.nodes[..2] {
            node.types(put);
            node.types(&steps);
            let printed = node.types(&version);
            assert!(printed.contains("agent_version"), "{printed}");
        }
        let infra2 = &installation.nodes[2];
        infra2.types(put);
        let drop_in = Page::read(PAGE).blocks("Without a restart of etcd", "ini").remove(0);
        infra2.types("mkdir /etc/systemd/system/etcd-node.service.d");
        infra2.writes("/etc/systemd/system/etcd-node.service.d/adopt.conf", &drop_in);
        infra2.types(&format!("systemctl daemon-reload; systemctl restart etcd-node\n{WAIT_FOR_VOTER}"));
        infra2.types(&without);
        infra2.types("until journalctl -u etcd-node -o cat | grep 'taking over the running etcd'; do sleep 0.2; done");
        infra2.types(WAIT_FOR_VOTER);
        page.finish();
    }
}
