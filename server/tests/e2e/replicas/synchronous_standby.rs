//! The database has a synchronous standby, and the wait of a COMMIT for it is ended.

use std::time::{Duration, Instant};

use convene_harness::{Postgres, http, server::Server, wait_for};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{LIMIT, members, register};

/// How a COMMIT that waits for the standby is ended: PostgreSQL ends the session, or reports a success with a warning.
const TERMINATE: &str = "pg_terminate_backend";
const CANCEL: &str = "pg_cancel_backend";

/// When the wait is cancelled. An administrator takes longer than that to notice it.
const WAITED: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_session_is_ended_while_it_waits_for_the_standby_is_not_acknowledged() {
    is_not_acknowledged(TERMINATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_wait_for_the_standby_is_cancelled_is_not_acknowledged() {
    is_not_acknowledged(CANCEL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_session_is_ended_is_acknowledged_once_the_standby_has_it() {
    // More patience than it takes to look from here, even on a busy machine.
    let Some(pair) = Pair::start(&["--database-acquire-timeout", "20s"]).await else { return };
    pair.standby.pause();
    let write = pair.write(2);
    pair.end_wait(TERMINATE);
    // A commit after the lost one waits for the standby again.
    pair.wait_until_commit_waits();
    assert!(!write.is_finished(), "answered before the standby had the write");
    pair.standby.resume();
    assert_eq!(write.await.unwrap().0, 201, "{}", pair.server.output());
}

async fn is_not_acknowledged(end: &str) {
    let Some(pair) = Pair::start(&[]).await else { return };
    pair.standby.pause();
    let begun = Instant::now();
    let write = pair.write(2);
    pair.wait_until_commit_waits();
    if end == CANCEL {
        tokio::time::sleep(WAITED).await;
    }
    pair.end_wait(end);
    let (status, body) = write.await.unwrap();
    assert_eq!(status, 503, "{body}\n{}", pair.server.output());
    assert!(body.contains("check whether the change was made"), "{body}");
    eprintln!("{end}: 503 after {:?}", begun.elapsed());

    // The write is in the database and visible. What rests on it is not acknowledged either.
    assert_eq!(members(&pair.cluster).await, 2);
    let begun = Instant::now();
    let (status, body) = pair.set_same_size().await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(http::get(format!("{}/readyz", pair.server.url)).await.unwrap().status(), 503);
    eprintln!("further writes: 503 after {:?}", begun.elapsed());

    pair.standby.resume();
    let resumed = Instant::now();
    while pair.set_same_size().await.0 != 200 {
        assert!(resumed.elapsed() < LIMIT, "writes still fail: {}", pair.server.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("written again {:?} after the standby was back", resumed.elapsed());
    assert_eq!(pair.write(3).await.unwrap().0, 201);
    assert_eq!(members(&pair.cluster).await, 3);
}

/// A server on a database with a synchronous standby, and a cluster with one member.
struct Pair {
    server: Server,
    primary: Postgres,
    standby: Postgres,
    cluster: String,
}

impl Pair {
    async fn start(arguments: &[&str]) -> Option<Self> {
        let primary = Postgres::start()?;
        let standby = primary.start_standby();
        primary.require_standby();
        let server = Server::start_on(&primary.create_database(), arguments);
        let cluster = server.new_cluster(3).await;
        let pair = Self { server, primary, standby, cluster };
        assert_eq!(pair.write(1).await.unwrap().0, 201);
        Some(pair)
    }

    /// Registers a member by v2, and returns the status and the body of the answer.
    fn write(&self, n: u32) -> JoinHandle<(u16, String)> {
        let put = register(&self.cluster, n);
        tokio::spawn(async move {
            let answer = tokio::time::timeout(LIMIT, put.send()).await.expect("the write is answered").unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// Sets the size that the cluster has, which changes nothing, and returns the status and the body of the answer.
    async fn set_same_size(&self) -> (u16, String) {
        let url = self.cluster.replace(&self.server.url, &format!("{}/v1/clusters", self.server.url));
        let patch = http::client().patch(url).json(&json!({ "size": 3 })).send();
        let answer = tokio::time::timeout(LIMIT, patch).await.expect("the request is answered").unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn wait_until_commit_waits(&self) {
        let waits = wait_for(LIMIT, || (!self.primary.execute(&self.database(), WAITING).is_empty()).then_some(()));
        assert!(waits.is_some(), "no COMMIT waits for the standby");
    }

    /// Ends the wait of a COMMIT for the standby.
    fn end_wait(&self, function: &str) {
        self.wait_until_commit_waits();
        let ended =
            self.primary.execute(&self.database(), &format!("select {function}(pid) from ({WAITING}) as waiting"));
        assert_eq!(ended, "t");
    }

    fn database(&self) -> String {
        self.server.database_url()
    }
}

/// The sessions whose COMMIT waits for the standby.
const WAITING: &str = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'SyncRep'";
