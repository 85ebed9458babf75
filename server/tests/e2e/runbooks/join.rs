//! Nodes whose own unit of etcd runs `convene join`, as docs/nodes.md describes it.

use super::*;

/// A unit of etcd, as distributions have it. The settings of the page follow in a drop-in.
const UNIT: &str = "[Service]\nExecStart=/usr/local/bin/etcd\nUser=etcd\nStateDirectory=etcd\n\
                    Restart=on-failure\n[Install]\nWantedBy=multi-user.target\n";

mod large {
    use super::*;

    #[test]
    fn a_node_with_convene_join_leaves_and_convene_is_removed_from_the_others() {
        let Some(mut installation) = Installation::with_server("3.6") else { return };
        let mut page = Page::steps("docs/nodes.md");
        installation.server.types(&page.take("Before the first start"));
        let install = page.take("Before the first start");
        for number in 0..3 {
            let node = installation.boot_node(number);
            prepare_join_node(&node, number);
            installation.server.types(&format!("scp discovery join-token {}:", node.name));
            node.types(&install);
            start_etcd_unit(&node);
            installation.nodes.push(node);
        }
        for node in &installation.nodes {
            node.types("until [ \"$(systemctl is-active etcd)\" = active ]; do sleep 0.2; done");
        }

        installation.administrator_types("convene cluster resize 2 prod");
        let mut page = Page::steps_of("docs/runbooks/resize.md", SECTION);
        let printed = installation.node("infra2").types(&page.take(SECTION));
        assert!(printed.contains("done") && printed.contains("the data stays in /var/lib/etcd/infra2"), "{printed}");
        page.finish();
        installation.administrator_types("convene cluster show prod | grep 'has 2 voters'");

        let mut page = Page::steps_of("docs/runbooks/uninstall.md", SECTION);
        let (copy, restart) = (page.take(SECTION), page.take(SECTION));
        for node in &installation.nodes[..2] {
            node.types(&copy);
            let printed = node.types(&restart);
            assert_eq!(printed.matches("is healthy").count(), 2, "{printed}");
            node.types("! grep -r convene /etc/systemd/system");
        }
        page.finish();
    }
}

const SECTION: &str = "Nodes with `convene join`";

/// Writes the unit of etcd with its drop-in, and the settings of both programs. The two files of the cluster may follow.
fn prepare_join_node(node: &Machine, number: usize) {
    create_etcd_user(node);
    node.types("install -m 755 target/dist/convene /usr/local/bin/; mkdir -p /etc/systemd/system/etcd.service.d");
    node.writes("/etc/systemd/system/etcd.service", UNIT);
    let blocks = Page::read("docs/nodes.md").blocks("In etcd's own systemd unit", "ini");
    let [drop_in, settings] = &blocks[..] else { panic!("there is a drop-in, and then its settings") };
    node.writes("/etc/systemd/system/etcd.service.d/convene.conf", drop_in);
    node.writes("/etc/convene.env", &of_node(settings, number));
}
