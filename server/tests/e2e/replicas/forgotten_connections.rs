//! A firewall forgets the connections of a server to its database: nothing arrives on them any more, and no end is told.

use std::time::{Duration, Instant};

use convene_harness::{http, server::Server, wait_for};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::{
    LIMIT,
    line::{Line, servers_on_a_line},
    register,
};
use crate::scrape::Scrape;

/// How soon a wait ends if notifications arrive. A server that only believes that they do polls every five seconds.
const NOTIFIED: Duration = Duration::from_secs(2);

const ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_notices_that_its_notifications_do_not_arrive_and_listens_on_a_new_connection() {
    let Some(test) = Forgotten::start().await else { return };
    assert!(test.until_notified(1).await, "{}", test.server.output());
    test.line.forget_connections();
    let forgotten = Instant::now();
    let lost = wait_for(LIMIT, || test.server.output().contains("lost the notifications").then_some(()));
    assert!(lost.is_some(), "nobody has noticed:\n{}", test.server.output());
    eprintln!("noticed after {:?}", forgotten.elapsed());
    assert!(test.until_notified(1).await, "{}", test.server.output());
    eprintln!("listens again after {:?}", forgotten.elapsed());
    let mut late = Vec::new();
    for n in 0..ROUNDS {
        late.push(test.lateness(n).await);
    }
    eprintln!("events are late by {late:?}");
    // One of them may meet a moment of a busy machine.
    assert!(late.iter().filter(|late| **late > NOTIFIED).count() <= 1, "{late:?}\n{}", test.server.output());
    assert!(test.metric("convene_event_delay_seconds_count").await >= ROUNDS as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_meet_forgotten_connections_are_late_and_not_refused() {
    let Some(test) = Forgotten::start().await else { return };
    let url = &test.server.url;
    // Several connections read and one writes.
    join_all((0..20).map(|_| ask(http::client().get(format!("{url}/v1/clusters"))))).await;
    assert_eq!(ask(register(&test.cluster, 0)).await.0, 201);
    test.line.forget_connections();
    let (reads, writes) = tokio::join!(
        join_all((0..10).map(|_| ask(http::client().get(&test.cluster)))),
        join_all((1..5).map(|n| ask(register(&test.cluster, n)))),
    );
    for (expected, answers) in [(200, &reads), (201, &writes)] {
        for (status, _) in answers {
            assert_eq!(*status, expected, "{}", test.server.output());
        }
        eprintln!("{expected}: {:?} at most", answers.iter().map(|(_, took)| took).max().unwrap());
    }
    assert!(!test.server.output().contains("the database is down"), "{}", test.server.output());
}

/// A server over a line to its database, another one, and a cluster.
struct Forgotten {
    line: Line,
    server: Server,
    other: Server,
    cluster: String,
}

impl Forgotten {
    async fn start() -> Option<Self> {
        let (line, server, other) = servers_on_a_line().await?;
        let cluster = server.new_cluster(9).await;
        Some(Self { line, server, other, cluster })
    }

    /// Whether notifications arrive at the server, or at last do.
    async fn until_notified(&self, expected: i32) -> bool {
        let begun = Instant::now();
        while self.metric("convene_notifications_up").await != f64::from(expected) {
            if begun.elapsed() > LIMIT {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    async fn metric(&self, name: &str) -> f64 {
        Scrape::of(&self.server).await.value(name)
    }

    /// How long after a write through the other server a wait at this one ends.
    async fn lateness(&self, n: usize) -> Duration {
        let url = format!("{}?wait=true&recursive=true", self.cluster);
        let answer = http::client().get(url).send().await.unwrap();
        let waiting = tokio::spawn(async move { (answer.json::<Value>().await.unwrap(), Instant::now()) });
        let written = register(&self.cluster.replace(&self.server.url, &self.other.url), n).send().await.unwrap();
        assert_eq!(written.status(), 201);
        let written = Instant::now();
        let (event, at) = tokio::time::timeout(LIMIT, waiting).await.expect("the wait ends").unwrap();
        assert_eq!(event["action"], "create", "{event}");
        at.saturating_duration_since(written)
    }
}

/// The status of an answer, and how long it took.
async fn ask(request: RequestBuilder) -> (u16, Duration) {
    let begun = Instant::now();
    let answer = tokio::time::timeout(LIMIT, request.send()).await.expect("there is an answer").unwrap();
    (answer.status().as_u16(), begun.elapsed())
}
