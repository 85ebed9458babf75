//! The PostgreSQL that tests use.

use std::time::Duration;

use convene_harness::{Postgres, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn committed_data_survives_a_crash() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.create_database();
    postgres.execute(&url, "create table kept (word text); insert into kept values ('this')");
    postgres.crash();
    postgres.start_again();
    assert_eq!(postgres.execute(&url, "select word from kept"), "this");
    postgres.stop();
    postgres.start_again();
    assert_eq!(postgres.execute(&url, "select word from kept"), "this");
}

#[test]
fn a_paused_database_leaves_nothing_behind() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = postgres.execute("postgres", "show data_directory");
    let pid = postgres.execute("postgres", "select pg_backend_pid()");
    postgres.pause();
    drop(postgres);
    assert!(!std::path::Path::new(&folder).exists());
    assert!(wait_for(LIMIT, || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())).is_some());
}
