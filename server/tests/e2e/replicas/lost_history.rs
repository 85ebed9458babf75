//! The database loses acknowledged writes beneath running servers: a standby takes over that lacks them, or a dump is restored.

use std::time::{Duration, Instant};

use convene_harness::{Postgres, etcd::Version, http, server::Server, wait_for};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{LIMIT, line::Line, members, register, watching::Stream};
use crate::v3_client::{Cluster, Watches, connect, revision};

#[tokio::test(flavor = "multi_thread")]
async fn servers_forget_what_a_failover_has_lost() {
    let Some(primary) = Postgres::start() else { return };
    let standby = primary.start_standby();
    let database = primary.create_database();
    let line = Line::to(&database).await;
    let test = LostHistory::start(&line.url).await;
    let name = database.rsplit_once('/').unwrap().1;
    let received = || (standby.try_execute(name, "select min(revision) from cluster").ok()? == "2").then_some(());
    assert!(wait_for(LIMIT, received).is_some(), "{}", standby.log());
    standby.stop_receiving();
    test.go_on_after(|| {
        primary.crash();
        line.lead_to(&standby.url(name));
        standby.promote();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_forget_what_a_restored_dump_lacks() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let test = LostHistory::start(&database).await;
    let dump = Dump::of(postgres, &database);
    test.go_on_after(|| dump.restore()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forming_clusters_are_held_after_a_dump_was_restored_although_nobody_asks() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let test = LostHistory::start(&database).await;
    let dump = Dump::of(postgres, &database);
    assert_eq!(test.set_limit(0, 30).await, Ok(3));
    dump.restore();
    let restored = Instant::now();
    let held = "select count(held_since) from cluster";
    let is_held = wait_for(LIMIT, || (postgres.execute(&database, held) == "1").then_some(()));
    assert!(is_held.is_some(), "{}", test.servers[0].output());
    eprintln!("held after {:?}", restored.elapsed());
}

/// One etcd has registered and has seen another registration, which the database then loses.
#[tokio::test(flavor = "multi_thread")]
async fn etcds_that_wait_read_their_cluster_again() {
    let Some(postgres) = Postgres::shared() else { return };
    let (Some(by_v2), Some(by_v3)) = (Version::find("3.5"), Version::find("3.6")) else { return };
    let database = postgres.create_database();
    let server = Server::start_on(&database, &[]);
    let [of_v2, of_v3] = [server.new_cluster(3).await, server.new_cluster(3).await];
    let token = of_v3.rsplit_once('/').unwrap().1.to_owned();
    let etcds = [by_v2.discover("infra1", &of_v2), by_v3.discover_v3("infra1", &server.url, &token)];
    let waiting = ["waiting for more", "waiting for peers from discovery service"];
    etcds.iter().zip(waiting).for_each(|(etcd, waiting)| drop(etcd.wait_for_output(waiting, LIMIT)));
    let dump = Dump::of(postgres, &database);
    assert_eq!(register(&of_v2, 2).send().await.unwrap().status(), 201);
    Cluster { token, created: 1 }.register(&connect(&server.url).await, "2").await;
    etcds.iter().zip(["\"peer\":\"2\"", "members/2"]).for_each(|(etcd, seen)| drop(etcd.wait_for_output(seen, LIMIT)));

    dump.restore();
    etcds[0].wait_for_output("waiting for other nodes", LIMIT);
    // Registered, and seen once more after that.
    let began_again = [("found self from discovery server", 2), (waiting[1], 2)];
    for (etcd, (line, times)) in etcds.iter().zip(began_again) {
        let began_again = wait_for(LIMIT, || (etcd.output().matches(line).count() >= times).then_some(()));
        assert!(began_again.is_some(), "{}", etcd.output());
    }
}

/// Within this time every server has looked for lost writes.
const LOOKED_FOR_LOSSES: Duration = Duration::from_secs(6);

/// A server of the version before knows no IDs of writes.
#[tokio::test(flavor = "multi_thread")]
async fn writes_of_the_version_before_are_delivered_and_are_no_loss() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let test = LostHistory::start(&database).await;
    let mut stream = Stream::open(&test.servers[0], &test.formed).await;
    assert_eq!(stream.until(2).await, [1, 2]);
    for revision in [3, 4] {
        let changed = format!("(select id from cluster where token = '{}')", test.formed);
        let write = format!(
            "create temp table written as select * from event where cluster = {changed} and revision = 2; \
             update written set revision = {revision}, write_id = null; insert into event select * from written; \
             update cluster set revision = {revision} where id = {changed}; \
             select pg_notify('convene', 'before {}')",
            test.formed
        );
        postgres.execute(&database, &write);
        assert_eq!(stream.until(revision).await, [revision]);
    }
    assert_eq!(test.set_limit(1, 30).await, Ok(5));
    assert_eq!(test.set_limit(0, 50).await, Ok(6));
    assert_eq!(stream.until(6).await, [5, 6]);
    tokio::time::sleep(LOOKED_FOR_LOSSES).await;
    for server in &test.servers {
        assert!(
            !server.output().contains("lost changes") && !server.output().contains("older copy"),
            "{}",
            server.output()
        );
    }
}

/// A dump of the clusters.
struct Dump<'p> {
    postgres: &'p Postgres,
    database: String,
}

impl<'p> Dump<'p> {
    /// The tables, each after the one that it refers to.
    const TABLES: [&'static str; 3] = ["cluster", "member", "event"];

    fn of(postgres: &'p Postgres, database: &str) -> Self {
        let dump = Self::TABLES.map(|table| format!("create table dumped_{table} as table {table};"));
        postgres.execute(database, &dump.concat());
        Self { postgres, database: database.to_owned() }
    }

    /// Restores it in one transaction.
    fn restore(&self) {
        let restore = Self::TABLES.map(|table| format!("insert into {table} select * from dumped_{table};"));
        self.postgres.execute(&self.database, &format!("delete from cluster; {}", restore.concat()));
    }
}

/// Two servers on one database, with a cluster that has formed and one that is forming.
struct LostHistory {
    servers: [Server; 2],
    formed: String,
    forming: String,
}

impl LostHistory {
    /// Both clusters are at revision 2, and in the memory of both servers.
    async fn start(database: &str) -> Self {
        let servers = [(); 2].map(|()| Server::start_on(database, &[]));
        let token = |url: String| url.rsplit_once('/').unwrap().1.to_owned();
        let (formed, forming) = (token(servers[0].new_cluster(1).await), token(servers[0].new_cluster(3).await));
        let test = Self { servers, formed, forming };
        for token in [&test.formed, &test.forming] {
            assert_eq!(register(&test.at(0, token), 1).send().await.unwrap().status(), 201);
            assert_eq!((members(&test.at(0, token)).await, members(&test.at(1, token)).await), (1, 1));
        }
        test
    }

    /// Makes a third revision of both clusters through the first server, has the database lose it, and another third revision
    /// through the second server.
    async fn go_on_after(&self, lose: impl FnOnce()) {
        let channel = connect(&self.servers[0].url).await;
        let watched = Cluster { token: self.forming.clone(), created: 1 };
        let mut watch = Watches::opened(&channel, watched.watch(3)).await;
        let mut stream = Stream::open(&self.servers[0], &self.formed).await;
        assert_eq!(self.set_limit(0, 30).await, Ok(3));
        assert_eq!(register(&self.at(0, &self.forming), 2).send().await.unwrap().status(), 201);
        assert_eq!(stream.until(3).await, [1, 2, 3]);
        assert_eq!(watch.next_events().await.iter().map(revision).collect::<Vec<_>>(), [3]);
        let poll = http::get(format!("{}?wait=true&recursive=true", self.at(0, &self.forming))).await.unwrap();

        lose();
        let lost = Instant::now();
        let poll = tokio::spawn(async move { (is_broken_off(poll).await, lost.elapsed()) });
        assert_eq!(self.set_limit_soon(1, 50).await, 3, "{}", self.servers[1].output());
        eprintln!("written at the other server after {:?}", lost.elapsed());
        self.until_ready(0).await;
        eprintln!("ready after {:?}", lost.elapsed());
        assert_eq!((self.limits().await, self.member_counts().await), ([50, 50], [1, 1]));
        assert_eq!(self.set_limit_soon(0, 70).await, 4, "{}", self.servers[0].output());
        assert_eq!(self.limits().await, [70, 70]);
        self.assert_held().await;
        eprintln!("held after at most {:?}", lost.elapsed());

        // The waits end, and go on from the new history.
        let last = watch.next().await;
        assert!(last.canceled && last.compact_revision > 0, "{last:?}");
        eprintln!("watch cancelled after at most {:?}", lost.elapsed());
        assert_eq!(stream.next().await.map(|reset| reset["detail"].is_string()), Some(true));
        assert!(stream.next().await.is_none(), "the stream goes on");
        eprintln!("stream ended after at most {:?}", lost.elapsed());
        let (is_broken_off, after) = poll.await.unwrap();
        assert!(is_broken_off, "the long poll was answered");
        eprintln!("long poll broken off after {after:?}");
        assert_eq!(Stream::open(&self.servers[0], &self.formed).await.until(4).await, [1, 2, 3, 4]);
        let mut watch = Watches::opened(&channel, watched.watch(2)).await;
        assert_eq!(watch.next_events().await.iter().map(revision).collect::<Vec<_>>(), [2]);
    }

    /// The URL of a cluster at a server.
    fn at(&self, server: usize, token: &str) -> String {
        format!("{}/{token}", self.servers[server].url)
    }

    /// The formed cluster in the API of a server.
    fn api(&self, server: usize) -> String {
        format!("{}/v1/clusters/{}", self.servers[server].url, self.formed)
    }

    /// Sets after how many seconds a member of the formed cluster is dead, and returns the cluster's revision.
    async fn set_limit(&self, server: usize, seconds: u32) -> Result<u64, StatusCode> {
        let patch =
            http::client().patch(self.api(server)).json(&json!({ "policy": { "dead_after_seconds": seconds } }));
        let answer = tokio::time::timeout(LIMIT, patch.send()).await.expect("the request is answered").unwrap();
        match answer.status() {
            StatusCode::OK => Ok(answer.headers()["etag"].to_str().unwrap().trim_matches('"').parse().unwrap()),
            status => Err(status),
        }
    }

    /// [`LostHistory::set_limit`] once the server accepts writes again.
    async fn set_limit_soon(&self, server: usize, seconds: u32) -> u64 {
        let begun = Instant::now();
        loop {
            match self.set_limit(server, seconds).await {
                Ok(revision) => return revision,
                Err(status) => assert_eq!(status, 503),
            }
            assert!(begun.elapsed() < LIMIT, "{}", self.servers[server].output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_ready(&self, server: usize) {
        let begun = Instant::now();
        while http::get(format!("{}/readyz", self.servers[server].url)).await.unwrap().status() != 200 {
            assert!(begun.elapsed() < LIMIT, "{}", self.servers[server].output());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The seconds of [`LostHistory::set_limit`], as each server shows them.
    async fn limits(&self) -> [u64; 2] {
        let limit = async |server| {
            let shown: Value = http::get(self.api(server)).await.unwrap().json().await.unwrap();
            shown["policy"]["dead_after_seconds"].as_u64().unwrap_or_else(|| panic!("{shown}"))
        };
        [limit(0).await, limit(1).await]
    }

    /// How many members the forming cluster has, as each server shows it.
    async fn member_counts(&self) -> [usize; 2] {
        [members(&self.at(0, &self.forming)).await, members(&self.at(1, &self.forming)).await]
    }

    /// Asserts that no further member can be registered in the forming cluster through any server.
    async fn assert_held(&self) {
        for server in [0, 1] {
            let refused = register(&self.at(server, &self.forming), 2).send().await.unwrap();
            let (status, answer) = (refused.status(), refused.text().await.unwrap());
            assert!(
                status != 201 && answer.contains("is held"),
                "{status} {answer}\n{}",
                self.servers[server].output()
            );
        }
    }
}

/// Whether a long poll ends without an answer, so that etcd's client reads the directory again.
async fn is_broken_off(poll: Response) -> bool {
    let body = tokio::time::timeout(LIMIT, poll.bytes()).await.expect("the long poll ends");
    body.is_err()
}
