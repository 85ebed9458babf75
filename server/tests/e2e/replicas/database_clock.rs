//! The database has another time than the servers' machines.

use std::time::{Duration, Instant};

use convene_harness::{Postgres, server::Server};

use super::line::slow_line;

/// How long a message takes to the database, and as long back.
const FAR: Duration = Duration::from_millis(150);

/// How far a time may be behind the database's, in milliseconds: a measurement's round trips, on a busy machine.
const BEHIND: i64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_far_from_its_database_stamps_events_by_the_database_s_clock() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    set_back(postgres, &database);
    // This one migrates the database, which would take the other one too long.
    let _near = Server::start_on(&database, &[]);
    let server = Server::start_on(&slow_line(&database, FAR).await, &[]);
    let begun = Instant::now();
    server.new_cluster(3).await;
    eprintln!("a new cluster takes {:?}", begun.elapsed());
    let ahead = "select at - (extract(epoch from clock_timestamp()) * 1000)::bigint from event";
    let ahead: i64 = postgres.execute(&database, ahead).parse().unwrap();
    eprintln!("its event is {ahead} ms ahead of the database's clock");
    assert!(ahead <= 0, "{ahead} ms in the future of the database");
    assert!(ahead > -BEHIND, "{ahead} ms from the database's time\n{}", server.output());
    assert!(server.output().contains("set this server's clock to the database's"), "{}", server.output());
}

/// Makes the clock of a database 20 minutes late: its sessions find this function before PostgreSQL's own.
fn set_back(postgres: &Postgres, database: &str) {
    let name = database.rsplit_once('/').unwrap().1;
    let late = "create schema late; create function late.clock_timestamp() returns timestamptz language sql \
                as $$ select pg_catalog.clock_timestamp() - interval '20 minutes' $$";
    postgres.execute(database, late);
    postgres.execute(database, &format!("alter database {name} set search_path = late, pg_catalog, public"));
}
