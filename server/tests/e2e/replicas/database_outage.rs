//! The database is down for a while, and the servers keep serving.

use std::time::{Duration, Instant};

use convene_etcd::wire::{PutRequest, RangeRequest, kv_client::KvClient};
use convene_harness::{Postgres, http, server::Server};
use futures_util::future::join_all;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};

use super::LIMIT;
use crate::v3_client::{Cluster, Watches, connect, value};

/// The time limit of the first requests in an outage, and of all later ones.
const FIRST: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(2);

/// How often the later requests are repeated.
const TIMES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_serving_while_its_database_is_stopped() {
    keeps_serving(Postgres::stop, Postgres::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_serving_while_its_database_hangs() {
    keeps_serving(Postgres::pause, Postgres::resume).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_cluster_does_not_reappear_during_an_outage() {
    let Some(postgres) = Postgres::start() else { return };
    let database = postgres.create_database();
    let servers: [Server; 2] = std::array::from_fn(|_| Server::start_on(&database, &[]));
    let made = servers[0].new_cluster(3).await;
    let path = made.strip_prefix(&servers[0].url).unwrap();
    let at_other = format!("{}{path}", servers[1].url);
    assert_eq!(http::get(&at_other).await.unwrap().status(), 200);
    let gone = http::client().delete(format!("{}/v1/clusters{path}", servers[0].url)).send().await.unwrap();
    assert!(gone.status().is_success());
    assert_eq!(http::get(&at_other).await.unwrap().status(), 404);
    postgres.stop();
    let status = http::get(&at_other).await.unwrap().status();
    assert!(status == 404 || status == 503, "{status}: a deleted cluster is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_clusters_stay_readable_when_a_write_detects_the_outage() {
    let Some(postgres) = Postgres::start() else { return };
    let outage = Outage::begin(&postgres).await;
    postgres.stop();
    for (what, request, _) in outage.writes() {
        assert_eq!(request.send().await.unwrap().status(), 503, "{what}");
    }
    for (what, request, _) in outage.reads(&outage.known) {
        assert_eq!(request.send().await.unwrap().status(), 200, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_clusters_stay_readable_while_the_database_accepts_no_connections() {
    let Some(postgres) = Postgres::start() else { return };
    let database = postgres.create_database();
    let name = database.rsplit_once('/').unwrap().1;
    postgres.execute("postgres", &format!("create role crowded login; alter database {name} owner to crowded"));
    let outage = Outage::begin_on(&database.replace("postgres@", "crowded@")).await;

    postgres.execute("postgres", "alter role crowded connection limit 0");
    assert!(postgres.cut_connections(&database, "%") > 0, "nothing was cut");
    outage.responds_without_database(FIRST).await;
    for _ in 0..TIMES {
        outage.responds_without_database(LATER).await;
    }
    postgres.execute("postgres", "alter role crowded connection limit -1");
    outage.recovers().await;
}

mod large {
    use super::*;
    use crate::replicas::{members, register};

    const STOPPED: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_stops_for_half_a_minute() {
        let Some(postgres) = Postgres::start() else { return };
        let Outage { server, other, known, .. } = Outage::begin(&postgres).await;
        let (here, there) = (format!("{}/{known}", server.url), format!("{}/{known}", other.url));
        assert_eq!(register(&there, 1).send().await.unwrap().status(), 201);
        assert_eq!(members(&here).await, 1);
        let wait = format!("{here}?wait=true&recursive=true");
        let wait = tokio::spawn(async move { http::get(wait).await.unwrap().text().await.unwrap() });

        postgres.pause();
        let stopped = Instant::now();
        let writes = async {
            let mut took = Vec::new();
            while stopped.elapsed() < STOPPED {
                let (status, headers, text, each) = ask(register(&there, 2)).await;
                assert!(status == 503 && headers.contains_key("retry-after"), "{status} {text}");
                took.push(each);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            took
        };
        let reads = async {
            let (mut took, mut stale) = (Vec::new(), 0);
            while stopped.elapsed() < STOPPED {
                let asked = stopped.elapsed().as_secs();
                let (status, headers, text, each) = ask(http::client().get(&here)).await;
                assert!(status == 200 && text.contains("infra1="), "{status} {text}");
                stale = headers["x-convene-stale"].to_str().unwrap().parse().unwrap();
                // The database has confirmed it last before it stopped, and only moments before.
                assert!((asked..=stopped.elapsed().as_secs() + 6).contains(&stale), "{stale} s after {asked} s");
                took.push(each);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (took, stale)
        };
        let (writes, (reads, stale)) = tokio::join!(writes, reads);
        for (what, took) in [("writes", &writes), ("reads", &reads)] {
            let (first, later) = (took[0], took[1..].iter().max().unwrap());
            eprintln!("{} {what}: the first one took {first:?}, the others {later:?} at most", took.len());
            assert!(first < FIRST && *later < LATER, "{what} are late: {took:?}");
        }
        eprintln!("the last read was {stale} s old");

        postgres.resume();
        let resumed = Instant::now();
        // A write that was refused may have been made once the database went on.
        while !matches!(ask(register(&there, 3)).await.0, 201) {
            assert!(resumed.elapsed() < LIMIT, "writes still fail: {}", other.output());
        }
        eprintln!("written again after {:?}", resumed.elapsed());
        while ask(http::client().get(&here)).await.1.contains_key("x-convene-stale") {
            assert!(resumed.elapsed() < LIMIT, "answers are still old: {}", server.output());
        }
        eprintln!("answers are new after {:?}", resumed.elapsed());
        assert!(members(&here).await >= 2);
        let event = tokio::time::timeout(LIMIT, wait).await.expect("the wait ends").unwrap();
        eprintln!("the wait ended after at most {:?}", resumed.elapsed());
        assert!(event.contains("infra2=") || event.contains("infra3="), "{event}");
    }
}

async fn keeps_serving(away: fn(&Postgres), back: fn(&Postgres)) {
    let Some(postgres) = Postgres::start() else { return };
    let outage = Outage::begin(&postgres).await;
    let poll = outage.http.get(format!("{}/{}?wait=true&recursive=true", outage.server.url, outage.known));
    let poll = poll.send().await.unwrap();
    let cluster = Cluster { token: outage.known.clone(), created: 1 };
    let mut watches = Watches::opened(&outage.channel, cluster.watch(0)).await;

    away(&postgres);
    outage.responds_without_database(FIRST).await;
    for _ in 0..TIMES {
        outage.responds_without_database(LATER).await;
    }

    back(&postgres);
    let returned = Instant::now();
    let put = || outage.http.put(format!("{}/{}/1?prevExist=false", outage.other.url, outage.known));
    while put().form(&[("value", "infra1=http://10.0.0.1:2380")]).send().await.unwrap().status() != 201 {
        assert!(returned.elapsed() < LIMIT, "writes still fail: {}", outage.other.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("written again after {:?}", returned.elapsed());
    let body = tokio::time::timeout(LIMIT, poll.text()).await.expect("the poll is answered").unwrap();
    assert!(body.contains("infra1=http://10.0.0.1:2380"), "{body:?}");
    let events = watches.next_events().await;
    assert_eq!(events.iter().map(value).collect::<Vec<_>>(), ["infra1=http://10.0.0.1:2380"]);
    eprintln!("delivered after {:?}", returned.elapsed());
    outage.recovers().await;
}

/// Two servers, one cluster that the first server has read, and one that it has not.
struct Outage {
    server: Server,
    other: Server,
    http: Client,
    channel: Channel,
    /// In the memory of the first server.
    known: String,
    unknown: String,
}

impl Outage {
    async fn begin(postgres: &Postgres) -> Self {
        Self::begin_on(&postgres.create_database()).await
    }

    async fn begin_on(database: &str) -> Self {
        let (server, other) = (Server::start_on(database, &[]), Server::start_on(database, &[]));
        let token = |url: String| url.rsplit_once('/').unwrap().1.to_owned();
        let (known, unknown) = (token(other.new_cluster(3).await), token(other.new_cluster(3).await));
        let channel = connect(&server.url).await;
        let outage = Self { server, other, http: http::client(), channel, known, unknown };
        for (what, request, _) in outage.reads(&outage.known) {
            assert_eq!(request.send().await.unwrap().status(), 200, "{what}");
        }
        outage
    }

    /// Read requests, each with a description and the content type of an error.
    fn reads(&self, token: &str) -> Vec<(&'static str, RequestBuilder, &'static str)> {
        let get = |path: String| self.http.get(format!("{}{path}", self.server.url));
        vec![
            ("a read by v2", get(format!("/{token}")), "application/json"),
            ("a read of the size by v2", get(format!("/{token}/_config/size")), "application/json"),
        ]
    }

    /// Reads of what the database has confirmed.
    fn confirmed_reads(&self, token: &str) -> Vec<(&'static str, RequestBuilder, &'static str)> {
        let get = |path: String| self.http.get(format!("{}{path}", self.server.url));
        vec![
            ("a quorum read by v2", get(format!("/{token}?quorum=true")), "application/json"),
            ("a read by the API", get(format!("/v1/clusters/{token}")), "application/problem+json"),
        ]
    }

    fn writes(&self) -> Vec<(&'static str, RequestBuilder, &'static str)> {
        let (server, known) = (&self.server.url, &self.known);
        let registration = self.http.put(format!("{server}/{known}/9?prevExist=false"));
        let node = json!({ "name": "a", "state": "empty", "peer_urls": ["http://a.example.com:2380"] });
        let api = format!("{server}/v1/clusters/{known}");
        vec![
            (
                "a registration by v2",
                registration.form(&[("value", "infra9=http://10.0.0.9:2380")]),
                "application/json",
            ),
            ("a new cluster", self.http.get(format!("{server}/new")), "text/plain"),
            ("a change by the API", self.http.patch(&api).json(&json!({ "size": 5 })), "application/problem+json"),
            ("a check-in", self.http.post(format!("{api}/check-in")).json(&node), "application/problem+json"),
        ]
    }

    async fn responds_without_database(&self, limit: Duration) {
        let known = self.reads(&self.known).into_iter().map(|(what, request, _)| async move {
            let (status, _, _, took) = ask(request).await;
            assert_eq!(status, 200, "{what} of what is in memory");
            (what, took)
        });
        let confirmed = self.confirmed_reads(&self.known).into_iter();
        let unavailable = self.reads(&self.unknown).into_iter().chain(confirmed).chain(self.writes());
        let others = unavailable.map(|(what, request, kind)| async move {
            let (status, headers, text, took) = ask(request).await;
            assert_eq!(status, 503, "{what}: {text}");
            assert!(headers.contains_key("retry-after"), "{what}: {headers:?}");
            let content_type = headers["content-type"].to_str().unwrap();
            assert!(content_type.starts_with(kind), "{what}: {content_type}");
            match kind {
                "application/json" => assert_eq!(json_of(&text)["errorCode"], 300, "{what}: {text}"),
                "application/problem+json" => assert_eq!(json_of(&text)["status"], 503, "{what}: {text}"),
                _ => {}
            }
            (what, took)
        });
        let health = ["/livez", "/readyz", "/health"].into_iter().map(|path| async move {
            let (status, _, _, took) = ask(self.http.get(format!("{}{path}", self.server.url))).await;
            assert_eq!(status, if path == "/livez" { 200 } else { 503 }, "{path}");
            (path, took)
        });
        let (mut all, others, health, v3) =
            tokio::join!(join_all(known), join_all(others), join_all(health), self.responds_by_v3());
        all.extend(others.into_iter().chain(health).chain(v3));
        let late: Vec<_> = all.iter().filter(|(_, took)| *took > limit).collect();
        assert!(late.is_empty(), "not within {limit:?}: {late:?}\n{}", self.server.output());
        eprintln!("without database: {:?}", all.iter().map(|(_, took)| took).max().unwrap());
    }

    async fn responds_by_v3(&self) -> Vec<(&'static str, Duration)> {
        let mut took = Vec::new();
        for (what, token, serializable, expected) in [
            ("a serializable range of what is in memory", &self.known, true, Code::Ok),
            ("a linearizable range of what is in memory", &self.known, false, Code::Unavailable),
            ("a serializable range of what is not", &self.unknown, true, Code::Unavailable),
        ] {
            let began = Instant::now();
            let key = format!("/_etcd/registry/{token}/_config/size").into_bytes();
            let request = RangeRequest { key, serializable, ..Default::default() };
            let answer = KvClient::new(self.channel.clone()).range(request).await;
            assert_eq!(answer.as_ref().map_or_else(|status| status.code(), |_| Code::Ok), expected, "{what}");
            took.push((what, began.elapsed()));
        }
        let began = Instant::now();
        let (key, value) = (format!("/_etcd/registry/{}/_config/size", self.known).into_bytes(), b"5".to_vec());
        let answer = KvClient::new(self.channel.clone()).put(PutRequest { key, value, ..Default::default() }).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
        took.push(("a put", began.elapsed()));
        took
    }

    async fn recovers(&self) {
        let ready = async {
            while self.http.get(format!("{}/readyz", self.server.url)).send().await.unwrap().status() != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("the server is ready again");
        let reads = [&self.known, &self.unknown].map(|token| [self.reads(token), self.confirmed_reads(token)]);
        for (what, request, _) in reads.into_iter().flatten().flatten() {
            assert_eq!(request.send().await.unwrap().status(), 200, "{what}");
        }
        let (status, _, text, _) = ask(self.http.get(format!("{}/new", self.server.url))).await;
        assert_eq!(status, 200, "{text}");
    }
}

async fn ask(request: RequestBuilder) -> (u16, reqwest::header::HeaderMap, String, Duration) {
    let began = Instant::now();
    let answer = tokio::time::timeout(LIMIT, request.send()).await.expect("there is an answer").unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap(), began.elapsed())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
