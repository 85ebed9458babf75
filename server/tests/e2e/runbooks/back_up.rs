use super::*;

const PAGE: &str = "docs/runbooks/back-up-and-move-the-registry.md";

mod large {
    use super::*;

    #[test]
    fn the_registry_is_backed_up_restored_lost_and_moved() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let server = &installation.server;
        let mut page = Page::steps(PAGE);
        server.types(&page.take("Back up"));
        let printed = server.types(&page.take("Back up"));
        assert!(printed.contains("exported registry"), "{printed}");
        server.types(&page.take("Back up"));
        let printed = server.types(&page.take("Back up"));
        assert!(printed.contains("imported registry") && printed.contains("clusters: 2"), "{printed}");

        // A copy that is older than a cluster that has formed since.
        let section = "A copy of the SQLite database";
        installation.administrator_types("convene cluster pause prod");
        let move_away = page.take(section);
        server.types(&move_away);
        server.types(&page.take(section));
        installation.wait_for_server();
        let printed = installation.administrator_types("convene cluster show prod");
        assert!(printed.contains("Paused:       no"), "{printed}");
        installation.wait_for_crosscheck();

        // An export.
        server.types("rm -r /var/lib/convene/before-restore");
        server.types(&move_away);
        let printed = server.types(&page.take("An export"));
        assert!(printed.contains("imported registry"), "{printed}");
        server.types(&page.take("An export"));
        installation.wait_for_server();
        let alice = page.take_with("API tokens after a move or an import", "alice");
        server.types(&alice);
        let by_alice = "export CONVENE_ADMIN_TOKEN_FILE=/var/lib/convene/alice.token\n";
        let printed = installation.administrator_types(&format!("{by_alice}convene cluster list"));
        assert!(printed.contains("prod"), "{printed}");
        let printed = installation.administrator_types(&format!("{by_alice}{}", page.take("After a restore")));
        assert!(printed.contains("first"), "{printed}");

        // The registry is lost. The start makes another administrator, so the former token goes.
        server.types("rm -r /var/lib/convene/before-restore /var/lib/convene/admin-token /var/lib/convene/admin.env");
        server.types(&move_away);
        server.types(&page.take("The registry is lost without a copy"));
        installation.wait_for_server();
        server.types(&page.take("The registry is lost without a copy"));
        let printed = installation.administrator_types(&without_tls(&page.take("The registry is lost without a copy")));
        assert!(printed.contains("etcd cluster exists: it was adopted"), "{printed}");
        installation.administrator_types(&page.take("Let the nodes in again"));
        let let_in = page.take("Let the nodes in again");
        for node in &installation.nodes {
            let printed = node.types(&let_in);
            assert!(printed.contains("reload: certificates, keys and tokens were read again"), "{printed}");
        }
        installation.wait_for_crosscheck();

        // Another URL.
        let section = "Move to another URL";
        let hosts = "sed -i 's/discovery.corp/discovery.corp registry.corp/' /etc/hosts";
        for machine in installation.nodes.iter().chain([server]) {
            machine.types(hosts);
        }
        server.types(&page.take(section));
        installation.wait_for_server();
        let change = page.take(section);
        for node in &installation.nodes {
            node.types(&change);
        }
        server.types(&page.take(section));
        let printed = installation.administrator_types(&page.take("API tokens after a move or an import"));
        assert!(printed.contains("prometheus"), "{printed}");

        // Another machine. It gets the address of the old one.
        let section = "Move to another machine";
        let next = installation.site.boot("discovery2");
        next.types(hosts);
        install_server(&next);
        server.types(&page.take(section));
        next.types(&page.take(section));
        next.types(WAIT_FOR_SERVER);
        server.types("ip address del 10.0.0.21/24 dev lan0");
        next.types("ip address add 10.0.0.21/24 dev lan0");
        let printed =
            next.types(". /var/lib/convene/admin.env\nuntil convene cluster crosscheck prod; do sleep 0.5; done");
        assert!(printed.contains("ok"), "{printed}");

        // postgresql.rs types this section.
        page.leave_out("From SQLite to PostgreSQL, with two servers");
        page.finish();
    }
}
