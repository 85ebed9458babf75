use super::*;

const PAGE: &str = "docs/runbooks/change-addresses.md";

mod large {
    use super::*;

    #[test]
    fn a_node_gets_another_address_and_another_name() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let infra1 = installation.node("infra1");
        let mut page = Page::steps(PAGE);
        infra1.types(&page.take("Move one node"));
        infra1.types("ip address del 10.0.0.11/24 dev lan0; ip address add 10.0.0.31/24 dev lan0");
        infra1.types("sed -i 's/10.0.0.11/10.0.0.31/' /etc/convene/node.env");
        infra1.types(&page.take("Move one node"));
        let printed = infra1.types(&page.take("Move one node"));
        assert!(printed.contains("voter: "), "{printed}");
        let log = infra1.types("journalctl -u etcd-node -o cat");
        assert!(log.contains("update_member (address_changed)"), "{log}");
        let printed = installation.administrator_types("convene cluster events prod");
        assert!(printed.contains("infra1 moved to http://10.0.0.31:2380"), "{printed}");

        let second = page.take("All addresses at once").replace("eth0", "lan0");
        infra1.types(&second);

        infra1.types(&page.take("Rename a node"));
        installation.administrator_types(&page.take("Rename a node"));
        infra1.types("sed -i 's/^ETCD_NAME=.*/ETCD_NAME=db1/' /etc/convene/node.env");
        infra1.types(&page.take("Rename a node"));
        installation.administrator_types("until convene member list prod | grep '^db1 '; do sleep 0.2; done");
        page.finish();
    }
}
