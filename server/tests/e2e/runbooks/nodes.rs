//! Nodes that are started by hand, and by a script.

use super::*;

const PAGE: &str = "docs/nodes.md";

mod large {
    use super::*;

    #[test]
    fn nodes_are_started_by_hand_and_by_a_script() {
        let Some(mut installation) = Installation::with_server("3.6") else { return };
        let mut page = Page::steps(PAGE);
        installation.server.types(&page.take("Before the first start"));
        let (install, start) = (page.take("Before the first start"), page.take("By hand"));
        for number in 0..3 {
            let node = installation.boot_node(number);
            receive(&installation.server, &node, "discovery join-token");
            node.types(&install);
            node.types(&format!("{} >convene.log 2>&1 &", of_node(&start, number).trim_end()));
            installation.nodes.push(node);
        }
        for node in &installation.nodes {
            node.types(WAIT_FOR_VOTER);
        }

        // The page makes this join token for a spare under `convene run`. A place is free here, so that the script ends.
        installation.administrator_types("convene cluster resize 4 prod");
        installation.server.types(&page.take("Spares"));
        let node = installation.boot_node(3);
        installation.server.types("mv infra3-join-token join-token");
        receive(&installation.server, &node, "discovery join-token");
        node.types(&install);
        node.writes("start", &page.take("In a script or a container"));
        let variables = "IP=10.0.0.13 HOSTNAME=infra3 CONVENE_DISCOVERY_FILE=/etc/convene/discovery \
                         CONVENE_JOIN_TOKEN_FILE=/etc/convene/join-token";
        node.types(&format!("chmod +x start; {variables} ./start >start.log 2>&1 &"));
        installation.nodes.push(node);
        installation.administrator_types("until convene cluster show prod | grep 'has 4 voters'; do sleep 0.5; done");

        let discovery = installation.server.types("cp /var/lib/convene/ca.crt .; cat discovery");
        let digits = installation.server.types(&page.take("The pin of the CA"));
        let digits = digits.split_whitespace().next().expect("the digits come first");
        assert!(discovery.trim_end().ends_with(&format!("#sha256:{digits}")), "{discovery} {digits}");
        page.finish();
    }
}

/// Installs the program on a machine, and copies files from the server to it.
fn receive(server: &Machine, node: &Machine, files: &str) {
    create_etcd_user(node);
    node.types("install -d -o etcd /var/lib/etcd /data; install -m 755 target/dist/convene /usr/local/bin/");
    server.types(&format!("scp {files} {}:", node.name));
}
