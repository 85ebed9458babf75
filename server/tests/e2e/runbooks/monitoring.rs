//! What a reader types who watches a cluster.

use super::*;

mod large {
    use super::*;

    #[test]
    fn the_server_the_nodes_and_a_cluster_are_watched() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let (server, node) = (&installation.server, installation.node("infra0"));
        let mut page = Page::steps("docs/monitoring.md");
        let printed = server.types(&page.take("Health of a server"));
        assert_eq!(printed, "[+]database ok\nok\n");
        let printed = node.types(&page.take("Health of a node"));
        assert!(printed.ends_with("ok\n") && printed.contains("[+]registry"), "{printed}");

        server.types(&page.take("Scrape the server"));
        server.types(
            "install -D prometheus.token /etc/prometheus/prometheus.token; cp /var/lib/convene/ca.crt /etc/prometheus/",
        );
        let printed = server.types(&page.take("Scrape the server"));
        assert!(printed.contains("convene_check_ins_denied_total 0"), "{printed}");

        installation.wait_for_crosscheck();
        let printed = node.types(&page.take("Status of a cluster"));
        assert!(printed.contains("3 of 3 voters answer"), "{printed}");
        let printed = server.types(&page.take("Who reaches whom"));
        assert_eq!(printed.matches("ok").count(), 6, "{printed}");
        let printed = installation.administrator_types(&page.take("Events"));
        assert!(printed.contains("bootstrapped"), "{printed}");
        page.finish();

        let mut page = Page::steps("docs/reference/node-port.md");
        let printed = node.types(&page.take("Pages"));
        assert!(printed.starts_with("voter: nothing to do (healthy)"), "{printed}");
        let printed = node.types(&page.take("Checks"));
        assert!(printed.ends_with("ok\n"), "{printed}");
        let printed = node.types(&page.take("Status"));
        assert!(printed.contains("\"agent_version\""), "{printed}");
        page.finish();

        let mut page = Page::steps("docs/reference/exit-codes.md");
        let printed = installation.administrator_types(&page.take("In scripts"));
        assert!(printed.contains("prod") && !printed.contains("has to act"), "{printed}");
        installation.administrator_types(&page.take("In scripts"));
        page.finish();
    }
}
