//! Another session holds the row of one cluster, and the writes to all other clusters go on.

use std::{
    thread,
    time::{Duration, Instant},
};

use convene_harness::{Postgres, http, server::Server, wait_for};
use serde_json::json;

use super::{LIMIT, register, servers};

/// How long a write to a locked cluster waits at least, and a server that writes to others at most.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_delays_and_fails_the_writes_to_its_cluster_alone() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, database) = servers::<2>(postgres);
    let (locked, free) = (servers[0].new_cluster(3).await, servers[0].new_cluster(9).await);
    let lock = RowLock::take(postgres, &database, token(&locked));

    let begun = Instant::now();
    let refused = tokio::spawn(add(locked.clone(), 1));
    let mut slowest = Duration::ZERO;
    let mut n = 0;
    while !refused.is_finished() {
        n += 1;
        let write = Instant::now();
        assert_eq!(add(free.clone(), 1 + n % 9).await, if n <= 9 { 201 } else { 412 }, "{}", servers[0].output());
        assert_eq!(check_in(&servers[0]).await, 200);
        slowest = slowest.max(write.elapsed());
        assert!(begun.elapsed() < LIMIT, "the write to the locked cluster is not answered");
    }
    assert_eq!(refused.await.unwrap(), 503);
    eprintln!(
        "the locked cluster: 503 after {:?}; {n} writes to others meanwhile, {slowest:?} at most",
        begun.elapsed()
    );
    assert!(begun.elapsed() >= PATIENCE, "it has not waited for the lock");
    assert!(slowest < PATIENCE, "a write to another cluster has waited for {slowest:?}");

    // This one waits, and gets the lock.
    let waiting = tokio::spawn(add(locked.clone(), 2));
    tokio::time::sleep(Duration::from_millis(200)).await;
    lock.release();
    assert_eq!(waiting.await.unwrap(), 201);
    assert_eq!(add(locked.replace(&servers[0].url, &servers[1].url), 3).await, 201);
}

/// A session that has locked the row of a cluster.
struct RowLock {
    postgres: &'static Postgres,
    database: String,
    session: thread::JoinHandle<()>,
}

impl RowLock {
    fn take(postgres: &'static Postgres, database: &str, token: &str) -> Self {
        let lock = format!("begin; select 1 from cluster where token = '{token}' for update; select pg_sleep(60)");
        let url = database.to_owned();
        let session = thread::spawn(move || assert!(postgres.try_execute(&url, &lock).is_err(), "nobody has ended it"));
        let sleeps =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
        let locked = wait_for(LIMIT, || (postgres.execute(database, sleeps) == "1").then_some(()));
        assert!(locked.is_some(), "nobody has locked the row");
        Self { postgres, database: database.to_owned(), session }
    }

    fn release(self) {
        assert_eq!(self.postgres.cut_connections(&self.database, "begin; select 1 from cluster%"), 1);
        self.session.join().unwrap();
    }
}

fn token(cluster: &str) -> &str {
    cluster.rsplit_once('/').unwrap().1
}

/// The status with which a registration by v2 is answered.
async fn add(cluster: String, n: u32) -> u16 {
    tokio::time::timeout(LIMIT, register(&cluster, n).send())
        .await
        .expect("the write is answered")
        .unwrap()
        .status()
        .as_u16()
}

/// The status with which the first check-in of a new cluster is answered.
async fn check_in(server: &Server) -> u16 {
    let cluster = server.new_cluster(3).await;
    let report = json!({ "name": "a", "state": "empty", "peer_urls": ["http://a.example.com:2380"] });
    let url = format!("{}/v1/clusters/{}/check-in", server.url, token(&cluster));
    http::client().post(url).json(&report).send().await.unwrap().status().as_u16()
}
