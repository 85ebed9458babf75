//! A server loses its connection to the database while another keeps it, or the database loses acknowledged writes.

use std::time::Duration;

use convene_harness::{Postgres, http, server::Server};
use serde_json::Value;

use super::{LIMIT, line::Line, servers};

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_server_returns_no_older_state_than_its_long_polls_did() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let line = Line::to(&database).await;
    let (other, cut_off) = (Server::start_on(&database, &[]), Server::start_on(&line.url, &[]));
    let made = other.new_cluster(3).await;
    let here = made.replace(&other.url, &cut_off.url);
    assert_eq!(members(&here).await, 0);
    for n in [1, 2] {
        let answer = tokio::spawn(wait(here.clone(), n + 1));
        register(&made, n).await;
        assert_eq!(answer.await.unwrap(), n + 1);
    }
    let answer = tokio::spawn(wait(here.clone(), 4));

    line.cut();
    until(&format!("{}/readyz", cut_off.url), 503).await;
    assert_eq!(members(&here).await, 2, "the clients of the long polls know two members");
    let late = tokio::spawn(wait(here.clone(), 4));
    register(&made, 3).await;
    line.mend();
    assert_eq!((answer.await.unwrap(), late.await.unwrap()), (4, 4));
    assert_eq!(members(&here).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_returns_data_that_the_database_has_lost() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, database) = servers::<2>(postgres);
    let made = servers[0].new_cluster(3).await;
    for n in [1, 2] {
        register(&made, n).await;
    }
    assert_eq!(members(&made).await, 2);
    let lost = "delete from event where revision = 3; delete from member where created_revision = 3; \
                update cluster set revision = 2";
    postgres.execute(&database, lost);
    for server in &servers {
        assert_eq!(members(&made.replace(&servers[0].url, &server.url)).await, 1);
    }
}

async fn register(cluster: &str, n: u64) {
    let value = [("value", format!("infra{n}=http://infra{n}.example.com:2380"))];
    let put = http::client().put(format!("{cluster}/{n}?prevExist=false")).form(&value);
    assert_eq!(put.send().await.unwrap().status(), 201);
}

async fn members(cluster: &str) -> usize {
    let shown: Value = http::get(cluster).await.unwrap().json().await.unwrap();
    assert_eq!(shown["action"], "get", "{shown}");
    shown["node"]["nodes"].as_array().map_or(0, Vec::len)
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
