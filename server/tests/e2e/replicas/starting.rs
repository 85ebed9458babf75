//! Servers start on a PostgreSQL, or report why not.

use std::{collections::BTreeSet, time::Duration};

use convene_harness::{
    Postgres, Process, free_port, http,
    server::{self, Server},
    tls::Ca,
};

const LIMIT: Duration = Duration::from_secs(30);

const TIMES: usize = 50;

const PASSWORD: &str = "what-nobody-is-to-see";

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_start_at_once_on_an_empty_database_share_one_registry() {
    let Some(postgres) = Postgres::shared() else { return };
    for time in 0..TIMES {
        let url = postgres.create_database();
        let start = || Server::start_on(&url, &[]);
        let (one, other) = std::thread::scope(|scope| {
            let both = (scope.spawn(start), scope.spawn(start));
            (both.0.join().unwrap(), both.1.join().unwrap())
        });
        let third = start();
        let mut ids = BTreeSet::new();
        for server in [&one, &other, &third] {
            let answer = http::get(server.new_cluster(3).await).await.unwrap();
            assert_eq!(answer.status(), 200);
            ids.insert(answer.headers()["x-etcd-cluster-id"].to_str().unwrap().to_owned());
        }
        assert_eq!(ids.len(), 1, "time {time}: {ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_verifies_the_certificate_of_postgresql() {
    let ca = Ca::new();
    let Some(postgres) = Postgres::start_with_tls(&ca.node()) else { return };
    let database = postgres.create_database().replace("postgres@", &format!("postgres:{PASSWORD}@"));
    let verified = |ca: &Ca| format!("{database}?sslmode=verify-full&sslrootcert={}", ca.file().display());

    let server = Server::start_on(&verified(&ca), &[]);
    server.new_cluster(3).await;
    let encrypted = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
                     where application_name = 'convene-server'";
    assert_eq!(postgres.execute("postgres", encrypted), "t");
    assert!(!server.output().contains(PASSWORD), "{}", server.output());

    is_refused(&verified(&Ca::new()), "certificate");
    is_refused(&format!("{database}?sslmode=disable"), "no encryption");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_older_than_the_schema_does_not_start() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    drop(Server::start_on(&database, &[]));
    let later = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'later', true, '\\x00', 0)";
    postgres.execute(&database, later);
    is_refused(&database.replace("postgres@", &format!("postgres:{PASSWORD}@")), "is newer than this convene-server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_needs_no_right_to_create_tables_that_exist() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let grants = "create role serving login; grant connect on database convene_x to serving";
    let name = database.rsplit_once('/').unwrap().1;
    postgres.execute(&database, &grants.replace("convene_x", name));
    let url = database.replace("postgres@", "serving@");
    is_refused(&url, "permission denied for schema public; make the user the database's owner");

    drop(Server::start_on(&database, &[]));
    postgres.execute(&database, "grant select, insert, update, delete on all tables in schema public to serving");
    let server = Server::start_on(&url, &[]);
    let made = server.new_cluster(3).await;
    assert_eq!(http::get(made).await.unwrap().status(), 200);
    assert!(!server.output().contains("ERROR"), "{}", server.output());

    postgres.execute("postgres", &format!("alter database {name} set default_transaction_read_only = on"));
    drop(server);
    is_refused(&url, "use the URL of the primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_another_encoding_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.execute("postgres", "create database latin encoding 'LATIN1' template template0");
    is_refused(&postgres.url("latin"), "create the database with encoding 'UTF8'");
}

/// A server does not start on this database, and reports that in one line.
fn is_refused(database: &str, expected: &str) {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut refused = Process::spawn("convene-server", &mut server::command(&listen, database, &[]));
    let code = refused.wait_for_exit(LIMIT);
    let output = refused.output();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.lines().count() == 1 && output.contains(expected), "{expected}: {output}");
    assert!(!output.contains(PASSWORD), "{output}");
    eprintln!("{output}");
}
