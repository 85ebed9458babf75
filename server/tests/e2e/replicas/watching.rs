//! A wait at one server receives the writes through another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use convene_etcd::wire::{DeleteRangeRequest, Event, event::EventType, kv_client::KvClient};
use convene_harness::{Postgres, http, server::Server};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{LIMIT, servers};
use crate::v3_client::{Cluster, Watches, connect, revision};

const ROUNDS: u32 = 20;

/// How often each of two servers writes while LISTEN connections are cut.
const WRITES: u32 = 150;

/// How soon a wait must end if its server gets a notification, and if it does not. Both are less than the poll interval
/// of a server that can listen.
const NOTIFIED_LIMIT: Duration = Duration::from_secs(3);
const POLLING_LIMIT: Duration = Duration::from_secs(4);
const CUT_EVERY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_soon_after_another_server_writes() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<2>(postgres);
    waits_end_within(NOTIFIED_LIMIT, &servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_soon_without_notifications_and_with_cut_listen_connections() {
    let Some(postgres) = Postgres::shared() else { return };
    let (database, url) = database_of(postgres, "silent");
    postgres.execute(&database, "revoke execute on function pg_notify(text, text) from public");
    let servers: [Server; 2] = std::array::from_fn(|_| Server::start_on(&url, &[]));
    let cutting = cut_listen_connections(postgres, &database);
    waits_end_within(POLLING_LIMIT, &servers).await;
    assert!(cutting.stop().await > 0, "nothing was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_soon_without_listen_connections() {
    let Some(postgres) = Postgres::shared() else { return };
    let (database, url) = database_of(postgres, "deaf");
    // One connection writes, one reads, and one listens. The first two are open once both have been used.
    let servers: [Server; 2] = std::array::from_fn(|_| Server::start_on(&url, &["--database-pool-size", "3"]));
    waits_end_within(NOTIFIED_LIMIT, &servers).await;

    postgres.execute("postgres", "alter role deaf connection limit 0");
    assert_eq!(postgres.cut_connections(&database, "LISTEN%"), 2);
    waits_end_within(POLLING_LIMIT, &servers).await;
    let listen = "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'";
    assert_eq!(postgres.execute(&database, listen), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_and_an_event_stream_receive_all_writes_of_two_servers_while_listen_connections_are_cut() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, database) = servers::<3>(postgres);
    let channels = [connect(&servers[0].url).await, connect(&servers[1].url).await, connect(&servers[2].url).await];
    let cluster = Cluster::create(&channels[0], "written-by-two").await;
    let mut watches = Watches::opened(&channels[1], cluster.watch(cluster.created)).await;
    let mut stream = Stream::open(&servers[1], &cluster.token).await;

    let cutting = cut_listen_connections(postgres, &database);
    let write = async |channel| {
        for n in 0..WRITES {
            cluster.change(channel, 1 + n % 5).await;
        }
    };
    let receive = async {
        let last = cluster.created + i64::from(2 * WRITES);
        let mut received = Vec::new();
        while received.last() < Some(&last) {
            received.extend(watches.next_events().await.iter().map(revision));
        }
        received
    };
    let read = stream.until(cluster.created + i64::from(2 * WRITES));
    let ((), (), received, read) = tokio::join!(write(&channels[0]), write(&channels[2]), receive, read);
    let all: Vec<i64> = (cluster.created..=cluster.created + i64::from(2 * WRITES)).collect();
    assert_eq!(received, all, "the watch");
    assert_eq!(read, all, "the stream of events");
    assert!(cutting.stop().await > 0, "nothing was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_receives_the_deletion_of_every_key_by_another_server() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<2>(postgres);
    let channels = [connect(&servers[0].url).await, connect(&servers[1].url).await];
    let cluster = Cluster::create(&channels[0], "deleted-by-another").await;
    let mut request = cluster.watch(cluster.created);
    request.prev_kv = true;
    let mut watches =
        [Watches::opened(&channels[0], request.clone()).await, Watches::opened(&channels[1], request).await];
    let mut stream = Stream::open(&servers[1], &cluster.token).await;
    let mut last = 0;
    for id in ["a", "b", "c"] {
        last = cluster.register(&channels[0], id).await;
    }
    // The clients at the other server have received everything before it goes.
    for watches in &mut watches {
        let mut seen = 0;
        while seen < last {
            seen = revision(watches.next_events().await.last().unwrap());
        }
    }
    let everything = cluster.watch(0);
    let delete = DeleteRangeRequest { key: everything.key, range_end: everything.range_end, ..Default::default() };
    let deleted = KvClient::new(channels[0].clone()).delete_range(delete).await.unwrap().into_inner();
    assert_eq!(deleted.deleted, 4);

    let [here, there] = &mut watches;
    let here = deletions(here).await;
    assert_eq!(here.len(), 4, "{here:?}");
    assert_eq!(deletions(there).await, here);
    let kinds = stream.kinds().await;
    assert_eq!(kinds.last().map(String::as_str), Some("cluster_deleted"), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_receives_a_deletion_right_after_a_change_while_clients_read() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<2>(postgres);
    let channels = [connect(&servers[0].url).await, connect(&servers[1].url).await];
    let client = http::client();
    for round in 0..ROUNDS {
        let cluster = Cluster::create(&channels[0], format!("read-while-deleted-{round}")).await;
        let mut watches = Watches::opened(&channels[1], cluster.watch(0)).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let readers = (0..4).map(|_| {
            let (client, is_over) = (client.clone(), is_over.clone());
            let url = format!("{}/{}", servers[1].url, cluster.token);
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    client.get(&url).send().await.unwrap();
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        cluster.change(&channels[0], 5).await;
        cluster.register(&channels[0], "a").await;
        let everything = cluster.watch(0);
        let delete = DeleteRangeRequest { key: everything.key, range_end: everything.range_end, ..Default::default() };
        KvClient::new(channels[0].clone()).delete_range(delete).await.unwrap();
        let deletions = deletions(&mut watches).await;
        is_over.store(true, Ordering::Relaxed);
        join_all(readers).await;
        let size = cluster.size_key();
        assert!(deletions.iter().any(|(key, _)| *key == size), "round {round}: {deletions:?}");
    }
}

/// A new database that belongs to a new user, whose rights can be restricted, unlike a superuser's: its URL for the
/// superuser, and that for its owner.
fn database_of(postgres: &Postgres, user: &str) -> (String, String) {
    let url = postgres.create_database();
    let name = url.rsplit_once('/').unwrap().1;
    postgres.execute("postgres", &format!("create role {user} login"));
    postgres.execute("postgres", &format!("alter database {name} owner to {user}"));
    let of_owner = url.replace("postgres@", &format!("{user}@"));
    (url, of_owner)
}

/// The deleted keys in the next responses, with their previous values. The deletion of a cluster is one response.
async fn deletions(watches: &mut Watches) -> Vec<(String, Option<String>)> {
    let is_deletion = |event: &Event| event.r#type() == EventType::Delete;
    loop {
        let answer = watches.next().await;
        assert!(!answer.canceled, "{answer:?}");
        let gone: Vec<_> = answer.events.into_iter().filter(is_deletion).collect();
        if !gone.is_empty() {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let mut gone: Vec<_> = gone
                .into_iter()
                .map(|event| (text(event.kv.unwrap().key), event.prev_kv.map(|kv| text(kv.value))))
                .collect();
            gone.sort();
            return gone;
        }
    }
}

/// Waits at one server for the writes through the other, by each API.
async fn waits_end_within(limit: Duration, servers: &[Server; 2]) {
    let [writes, waits] = servers;
    let client = http::client();
    let (one, other) = (connect(&writes.url).await, connect(&waits.url).await);
    for round in 0..ROUNDS / 4 {
        let url = writes.new_cluster(3).await;
        let token = url.rsplit_once('/').unwrap().1;
        let poll = client.get(format!("{}/{token}?wait=true&recursive=true", waits.url)).send().await.unwrap();
        let poll = tokio::spawn(async move { (poll.text().await.unwrap(), Instant::now()) });
        let cluster = Cluster { token: token.to_owned(), created: 1 };
        let mut watches = Watches::opened(&other, cluster.watch(0)).await;
        let events = client.get(format!("{}/v1/clusters/{token}/events?after=1&wait=20", waits.url));
        let events = tokio::spawn(async move { (events.send().await.unwrap().text().await.unwrap(), Instant::now()) });
        let writing = async {
            // The request for events has to have come.
            tokio::time::sleep(Duration::from_millis(100)).await;
            cluster.register(&one, "a").await;
            Instant::now()
        };
        let watching = async {
            watches.next_events().await;
            Instant::now()
        };
        let (written, watched) = tokio::join!(writing, watching);
        let (answer, polled) = tokio::time::timeout(LIMIT, poll).await.unwrap().unwrap();
        assert!(answer.contains("a=http://a.example.com:2380"), "{answer:?}");
        let (listed, seen) = tokio::time::timeout(LIMIT, events).await.unwrap().unwrap();
        assert!(listed.contains("member_registered"), "{listed}");
        for (what, at) in [("the poll", polled), ("the watch", watched), ("the list of events", seen)] {
            let took = at.saturating_duration_since(written);
            assert!(took <= limit, "round {round}: {what} took {took:?}");
        }
    }
}

/// Cuts the LISTEN connections again and again.
fn cut_listen_connections(postgres: &'static Postgres, database: &str) -> ConnectionCutter {
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, database) = (is_over.clone(), database.to_owned());
    let task = tokio::task::spawn_blocking(move || {
        let mut cut = 0;
        while !over.load(Ordering::Relaxed) {
            cut += postgres.cut_connections(&database, "LISTEN%");
            std::thread::sleep(CUT_EVERY);
        }
        cut
    });
    ConnectionCutter { is_over, task }
}

struct ConnectionCutter {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl ConnectionCutter {
    async fn stop(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// The stream of a cluster's events in the API.
pub struct Stream {
    answer: reqwest::Response,
    unread: String,
}

impl Stream {
    pub async fn open(server: &Server, token: &str) -> Self {
        let request = http::client().get(format!("{}/v1/clusters/{token}/events", server.url));
        let answer = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { answer, unread: String::new() }
    }

    /// The revisions of all events up to one.
    pub async fn until(&mut self, last: i64) -> Vec<i64> {
        let mut revisions = Vec::new();
        while revisions.last() < Some(&last) {
            let event = self.next().await.expect("the stream goes on");
            revisions.push(event["revision"].as_i64().unwrap());
        }
        revisions
    }

    /// The kinds of all events up to the end of the stream.
    async fn kinds(&mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Some(event) = self.next().await {
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
        kinds
    }

    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::to_owned);
                self.unread = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap_or_else(|_| json!(data))),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(LIMIT, self.answer.chunk()).await.expect("the stream has an event");
            self.unread.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}
