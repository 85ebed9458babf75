//! A server loses its connection to the database while another keeps it, or the database loses acknowledged writes.

use std::time::{Duration, Instant};

use convene_etcd::wire::{RangeRequest, kv_client::KvClient};
use convene_harness::{Postgres, http};
use serde_json::Value;
use tonic::Code;

use super::{LIMIT, line::servers_on_a_line, members, register, servers};
use crate::{scrape::Scrape, v3_client::connect};

/// The header of an answer that the database has not confirmed: its age in seconds.
const STALE: &str = "x-convene-stale";

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_server_returns_no_older_state_than_its_long_polls_did() {
    let Some((line, cut_off, other)) = servers_on_a_line().await else { return };
    let made = other.new_cluster(3).await;
    let here = made.replace(&other.url, &cut_off.url);
    assert_eq!(members(&here).await, 0);
    for n in [1, 2] {
        let answer = tokio::spawn(wait(here.clone(), n + 1));
        add(&made, n).await;
        assert_eq!(answer.await.unwrap(), n + 1);
    }
    let answer = tokio::spawn(wait(here.clone(), 4));

    line.cut();
    until(&format!("{}/readyz", cut_off.url), 503).await;
    assert_eq!(members(&here).await, 2, "the clients of the long polls know two members");
    let late = tokio::spawn(wait(here.clone(), 4));
    add(&made, 3).await;
    line.mend();
    assert_eq!((answer.await.unwrap(), late.await.unwrap()), (4, 4));
    assert_eq!(members(&here).await, 3);
}

/// `quorum`, a linearizable range and the administration's API ask for what all servers have acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_server_marks_old_answers_and_refuses_where_they_would_not_do() {
    let Some((line, cut_off, other)) = servers_on_a_line().await else { return };
    let made = other.new_cluster(3).await;
    let here = made.replace(&other.url, &cut_off.url);
    let token = made.rsplit_once('/').unwrap().1;
    assert_eq!(members(&here).await, 0);
    assert_eq!(stale(&here).await, None);
    let ready = format!("{}/readyz?verbose", cut_off.url);
    assert_eq!(http::get(&ready).await.unwrap().text().await.unwrap(), "[+]database ok\nok\n");

    line.cut();
    until(&format!("{}/readyz", cut_off.url), 503).await;
    add(&made, 1).await;
    let written = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let age = stale(&here).await.expect("the answer is marked");
    assert!(age >= written.elapsed().as_secs(), "{age}");
    assert_eq!(members(&here).await, 0);
    let wait = http::get(&format!("{here}?wait=true&recursive=true")).await.unwrap();
    assert!(wait.headers().contains_key(STALE), "{:?}", wait.headers());
    let key = |serializable| RangeRequest {
        key: format!("/_etcd/registry/{token}/_config/size").into_bytes(),
        serializable,
        ..RangeRequest::default()
    };
    let mut kv = KvClient::new(connect(&cut_off.url).await);
    let range = kv.range(key(true)).await.unwrap();
    assert!(range.metadata().get(STALE).is_some(), "{:?}", range.metadata());
    assert_eq!(kv.range(key(false)).await.unwrap_err().code(), Code::Unavailable);
    for path in
        [format!("/{token}?quorum=true"), format!("/v1/clusters/{token}"), format!("/v1/clusters/{token}/members")]
    {
        let refused = http::get(&format!("{}{path}", cut_off.url)).await.unwrap();
        assert_eq!(refused.status(), 503, "{path}");
    }
    let listed = http::get(&ready).await.unwrap().text().await.unwrap();
    assert!(listed.starts_with("[-]database failed") && listed.contains("has been down for"), "{listed}");
    let down = Scrape::of(&cut_off).await.value("convene_database_down_seconds");
    assert!(down >= 1.0, "{down}");

    line.mend();
    until(&format!("{here}?quorum=true"), 200).await;
    assert_eq!((members(&here).await, stale(&here).await), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_returns_data_that_the_database_has_lost() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, database) = servers::<2>(postgres);
    let made = servers[0].new_cluster(3).await;
    for n in [1, 2] {
        add(&made, n).await;
    }
    assert_eq!(members(&made).await, 2);
    let lost = "delete from event where revision = 3; delete from member where created_revision = 3; \
                update cluster set revision = 2";
    postgres.execute(&database, lost);
    for server in &servers {
        assert_eq!(members(&made.replace(&servers[0].url, &server.url)).await, 1);
    }
}

async fn add(cluster: &str, n: u64) {
    assert_eq!(register(cluster, n).send().await.unwrap().status(), 201);
}

/// The age that an answer is marked with.
async fn stale(cluster: &str) -> Option<u64> {
    let answer = http::get(cluster).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers().get(STALE).map(|seconds| seconds.to_str().unwrap().parse().unwrap())
}

/// Waits for an event at an index or later, and returns the index of the event.
async fn wait(cluster: String, index: u64) -> u64 {
    let url = format!("{cluster}?wait=true&recursive=true&waitIndex={index}");
    let answered = async { http::get(&url).await.unwrap().json::<Value>().await.unwrap() };
    let answer = tokio::time::timeout(LIMIT, answered).await.expect("the wait is answered");
    answer["node"]["modifiedIndex"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

async fn until(url: &str, status: u16) {
    let reached = async {
        while http::get(url).await.unwrap().status() != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("{url} does not answer {status}"));
}
