//! A registry moves to another database while its clusters run.

use std::process::Command;

use convene_harness::{Postgres, Process, etcd::Version, programs, server::Server};
use tempfile::TempDir;

use crate::{
    node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each},
    replacement::{assert_never_interrupted, writer},
};

/// The server's own tests move registries in each run of the tests.
mod large {
    use super::*;

    #[test]
    fn after_a_move_to_postgresql_nodes_join_leave_and_are_replaced() {
        let Some(postgres) = Postgres::shared() else { return };
        with_each(Version::sample(), |version| {
            let server = Server::start_on_sqlite();
            let registry = Registry::on(&server.url, 3);
            let mut nodes = form(version, &registry, 3);
            let writer = writer(&nodes);
            let events = registry.administer(&["cluster", "events"]);

            let _server = move_to(&postgres.create_database(), server);
            assert_eq!(registry.administer(&["cluster", "events"]), events);

            nodes[2].lose_disk();
            nodes[2].join_and_promote();
            wait_until_healthy(&nodes);

            registry.administer(&["cluster", "resize", "4"]);
            let mut fourth = Node::new(version, &registry, "infra3");
            fourth.join_and_promote();
            nodes.push(fourth);
            wait_until_healthy(&nodes);

            registry.administer(&["cluster", "resize", "3"]);
            let mut leaving = nodes.remove(1);
            writer.use_endpoints(&nodes.iter().map(Node::client_url).collect::<Vec<_>>());
            let ended = leaving.call("leave", &[]).run(LIMIT);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            leaving.etcd().wait_for_exit(LIMIT);
            wait_until_healthy(&nodes);

            let mut spare = Node::new(version, &registry, "infra4");
            let mut joining = spare.spawn_join(&[]);
            joining.wait_for_stderr("stand_by (full)", LIMIT);
            nodes[1].kill();
            spare.start_with_result(&mut joining);
            spare.promote();
            nodes[1] = spare;
            wait_until_healthy(&nodes);
            assert_never_interrupted(&writer.finish());
        });
    }
}

/// Moves the data of a server to another database as in docs/runbooks/back-up-and-move-the-registry.md, and starts the server there.
fn move_to(database_url: &str, mut server: Server) -> Server {
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(LIMIT), Some(0), "{}", server.output());
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("convene.json");
    for (verb, url) in [("export", &*server.database_url()), ("import", database_url)] {
        let mut command = Command::new(programs::server());
        let mut moving = Process::spawn(verb, command.args([verb, "--database-url", url]).arg(&copy));
        assert_eq!(moving.wait_for_exit(LIMIT), Some(0), "{verb}: {}", moving.output());
    }
    server.crash().restart_on(database_url)
}
