//! The network between a server and its database loses packets.

use std::time::{Duration, Instant};

use convene_harness::{Postgres, http, server::Server};
use reqwest::RequestBuilder;

use super::{LIMIT, line::lossy_line, members, register};
use crate::v3_client::{Cluster, Watches, connect, revision};

/// One packet in so many is lost.
const ONE_IN: usize = 10;

const CLUSTERS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_late_and_not_refused_while_packets_are_lost() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let (server, other) =
        (Server::start_on(&lossy_line(&database, ONE_IN).await, &[]), Server::start_on(&database, &[]));
    let (mut writes, mut reads, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CLUSTERS {
        let made = other.new_cluster(3).await;
        let here = made.replace(&other.url, &server.url);
        let cluster = Cluster { token: made.rsplit_once('/').unwrap().1.to_owned(), created: 1 };
        let mut watch = Watches::opened(&connect(&server.url).await, cluster.watch(2)).await;
        for n in 1..=3 {
            let url = if n == 2 { &made } else { &here };
            let took = ask(register(url, n), 201, &server).await;
            let written = Instant::now();
            let delivered = watch.next_events().await;
            assert_eq!(delivered.iter().map(revision).collect::<Vec<_>>(), [n + 1]);
            match n {
                2 => events.push(written.elapsed()),
                _ => writes.push(took),
            }
            reads.push(ask(http::client().get(&here), 200, &server).await);
            assert_eq!(members(&here).await, n as usize);
        }
    }
    for (what, took) in [("writes", &mut writes), ("reads", &mut reads), ("events of the other server", &mut events)] {
        took.sort();
        eprintln!("{what}: {:?} in the median, {:?} at most", took[took.len() / 2], took.last().unwrap());
    }
    assert!(writes.last() >= Some(&Duration::from_millis(200)), "nothing was lost: {writes:?}");
    assert!(!server.output().contains("the database is down"), "{}", server.output());
}

/// How long an answer took.
async fn ask(request: RequestBuilder, expected: u16, server: &Server) -> Duration {
    let begun = Instant::now();
    let answer = tokio::time::timeout(LIMIT, request.send()).await.expect("there is an answer").unwrap();
    assert_eq!(answer.status(), expected, "{}", server.output());
    begun.elapsed()
}
