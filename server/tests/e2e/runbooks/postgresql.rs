use super::*;

mod large {
    use super::*;

    #[test]
    fn a_registry_moves_to_postgresql_and_its_two_servers_are_upgraded() {
        let Some(installation) = Installation::with_cluster("3.6") else { return };
        let Some(database) = installation.site.boot_database() else { return };
        let Some(proxy) = installation.site.boot_proxy() else { return };
        let second = installation.move_to_postgresql(&database, &proxy);
        let servers = [&installation.server, &second];
        installation.wait_for_crosscheck();
        upgrade(servers, &database);
        installation.wait_for_crosscheck();

        // Each of the servers is enough.
        for server in servers {
            server.types("systemctl stop convene-server");
            for node in &installation.nodes {
                let printed = node_types(node, "until convene status; do sleep 0.2; done");
                assert!(printed.contains("Quorum:       yes"), "{printed}");
            }
            server.types(&format!("systemctl start convene-server\n{WAIT_FOR_SERVER}"));
        }
    }
}

impl Installation {
    /// Moves the registry to a database, and starts a second server, which is returned. Then the proxy takes the place of the first one.
    fn move_to_postgresql(&self, database: &Machine, proxy: &Machine) -> Machine {
        const SECTION: &str = "From SQLite to PostgreSQL, with two servers";
        let mut page = Page::steps_of("docs/runbooks/back-up-and-move-the-registry.md", SECTION);
        let server = &self.server;
        let printed = database_types(database, &page.take(SECTION));
        assert!(printed.contains("CREATE DATABASE"), "{printed}");
        server.types(&page.take(SECTION));
        database.types("scp db-ca.crt discovery:");
        server.types(&page.take(SECTION));
        let printed = server.types(&page.take(SECTION));
        assert!(printed.contains("imported registry"), "{printed}");
        server.types(&page.take(SECTION));
        self.wait_for_server();
        server.types(&page.take(SECTION));
        let printed = self.administrator_types(&page.take(SECTION));
        assert!(printed.contains("prod"), "{printed}");

        let second = self.site.boot("discovery2");
        install_server(&second);
        server.types(&page.take(SECTION));
        let printed = second.types(&page.take(SECTION));
        assert!(printed.ends_with("ok\n"), "{printed}");

        let trust = page.take(SECTION);
        for server in [server, &second] {
            server.types(&trust);
            server.types(WAIT_FOR_SERVER);
        }
        proxy.types(&format!("{} >haproxy.log 2>&1 &", page.take(SECTION).trim_end()));
        for machine in self.nodes.iter().chain([server, &second]) {
            machine.types("sed -i 's/ discovery.corp//; s/^10.0.0.20 .*/& discovery.corp/' /etc/hosts");
        }
        page.finish();
        second
    }
}

/// Upgrades servers whose database role owns nothing any more.
fn upgrade(servers: [&Machine; 2], database: &Machine) {
    const SECTION: &str = "Several servers";
    let [_, privileges] = &Page::read("docs/production-checklist.md").blocks("PostgreSQL", "sql")[..] else {
        panic!("there is the creation of the database, and then the privileges")
    };
    let privileges = privileges.replace("ROLE", "convene");
    let give = format!(
        "psql convene <<'END'\ncreate role convene_owner login password 'OWNER';\nreassign owned by convene to convene_owner;\n\
         set role convene_owner;\ngrant select, insert, update, delete on all tables in schema public to convene;\n{privileges}END\n"
    );
    database_types(database, &give);
    servers[0].types("umask 077; echo db.corp:5432:convene:convene_owner:OWNER >.pgpass");
    let mut page = Page::steps_of("docs/runbooks/upgrade-convene.md", SECTION);
    for server in servers {
        server.types("cp -r target/dist convene-new");
    }
    let printed = servers[0].types(&page.take(SECTION));
    assert!(printed.contains("is up to date; no migration was missing"), "{printed}");
    let (install, wait) = (page.take(SECTION), page.take(SECTION));
    for server in servers {
        server.types(&install);
        server.types(&wait);
    }
    page.finish();
}

/// Types lines as PostgreSQL's administrator.
#[track_caller]
fn database_types(database: &Machine, lines: &str) -> String {
    database.types(&format!("export PGUSER=postgres\n{lines}"))
}
