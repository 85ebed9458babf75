use super::*;

const PAGE: &str = "docs/runbooks/uninstall.md";

mod large {
    use super::*;

    #[test]
    fn convene_is_removed_while_etcd_keeps_its_data() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let mut page = Page::steps(PAGE);
        node_types(installation.node("infra0"), "etcdctl put greeting hello");
        installation.administrator_types(&page.take("Before you start"));
        let section = "Nodes with `convene run`";
        let unit = Page::read(PAGE).blocks(section, "ini").remove(0);
        let (change, wait) = (page.take(section), page.take(section));
        for node in &installation.nodes {
            node.writes("/etc/systemd/system/etcd.service", &unit);
            node.types(&change);
            let printed = node_types(node, &wait);
            assert_eq!(printed.matches("started").count(), 3, "{printed}");
        }
        // join.rs types this section.
        page.leave_out("Nodes with `convene join`");
        let token = installation.node("infra0").types("sed 's/#.*//; s/.*\\///' /etc/convene/discovery");
        let printed = installation.administrator_types(&page.take("The cluster"));
        assert!(printed.contains("is deleted; its etcd nodes keep running"), "{printed}");
        let (remove, left) = (page.take("The cluster"), page.take("The cluster"));
        for node in &installation.nodes {
            node.types(&remove);
            let printed = node.types(&left);
            assert!(printed.contains(".convene"), "{printed}");
        }
        let printed = node_types(installation.node("infra1"), "etcdctl get greeting");
        assert!(printed.contains("hello"), "{printed}");
        let printed = installation.administrator_types(&page.take("The cluster").replace("TOKEN", token.trim()));
        assert!(printed.contains("is free"), "{printed}");
        installation.administrator_types(&page.take("The server"));
        page.finish();
    }
}
