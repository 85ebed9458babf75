//! One client can't use up the server: requests and new clusters have rates, and the database has quotas.

use std::time::Duration;

use convene_harness::{
    Postgres, http,
    server::{Server, sqlite_url},
    wait_for,
};
use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

async fn new(client: &Client, server: &Server) -> (StatusCode, String) {
    let answer = client.get(format!("{}/new?size=3", server.url)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn register(client: &Client, url: &str, n: u32) -> Response {
    let value = format!("infra{n}=http://10.0.0.{n}:2380");
    client.put(format!("{url}/{n}?prevExist=false")).form(&[("value", value)]).send().await.unwrap()
}

#[tokio::test]
async fn an_address_that_sends_too_many_requests_waits_and_another_does_not() {
    let server = Server::start_with(&["--max-requests-per-second", "2"]);
    let from =
        |address: [u8; 4]| Client::builder().no_proxy().local_address(std::net::IpAddr::from(address)).build().unwrap();
    let (flood, honest) = (from([127, 0, 0, 1]), from([127, 0, 0, 2]));
    let mut refused = None;
    for _ in 0..50 {
        let answer = flood.get(format!("{}/version", server.url)).send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("50 requests are more than may be saved up");
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:convene:problem:too-many-requests");
    assert!(problem["detail"].as_str().unwrap().contains("--max-requests-per-second"), "{problem}");
    assert_eq!(flood.get(format!("{}/livez", server.url)).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(honest.get(format!("{}/version", server.url)).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_creates_so_many_clusters_an_hour() {
    let server = Server::start_with(&["--max-new-per-hour", "3"]);
    let client = http::client();
    for _ in 0..3 {
        assert_eq!(new(&client, &server).await.0, StatusCode::OK);
    }
    let (status, text) = new(&client, &server).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(text.contains("--max-new-per-hour") && text.contains("retry in"), "{text}");
    let put = client.put(format!("{}/v2/keys/_etcd/registry/mine/_config/size", server.url)).form(&[("value", "3")]);
    assert_eq!(put.send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn clusters_are_limited_in_all_and_for_an_address() {
    let server = Server::start_with(&["--max-clusters-per-address", "2"]);
    let client = http::client();
    for _ in 0..2 {
        assert_eq!(new(&client, &server).await.0, StatusCode::OK);
    }
    let (status, text) = new(&client, &server).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("--max-clusters-per-address"), "{text}");

    let full = Server::start_with(&["--max-clusters", "2"]);
    for _ in 0..2 {
        assert_eq!(new(&client, &full).await.0, StatusCode::OK);
    }
    let (status, text) = new(&client, &full).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(text.contains("--max-clusters"), "{text}");
    let refused = client.post(format!("{}/v1/clusters", full.url)).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refused.json::<Value>().await.unwrap()["type"], "urn:convene:problem:quota-exceeded");
}

#[tokio::test]
async fn a_cluster_that_never_forms_is_collected_and_one_that_has_formed_stays() {
    let server = Server::start_with(&["--forming-ttl", "1s"]);
    let client = http::client();
    let (forming, formed) = (server.new_cluster(3).await, server.new_cluster(1).await);
    assert_eq!(register(&client, &forming, 1).await.status(), StatusCode::CREATED);
    assert_eq!(register(&client, &formed, 1).await.status(), StatusCode::CREATED);
    let log = || server.output().contains("deleted clusters that have not formed").then_some(());
    wait_for(LIMIT, log).unwrap_or_else(|| panic!("{}", server.output()));
    assert_eq!(client.get(&forming).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(client.get(&formed).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn on_request_a_formed_cluster_that_nobody_has_shown_is_collected_and_its_token_stays_used() {
    let server = Server::start_with(&["--unseen-ttl", "1s"]);
    let client = http::client();
    let (unseen, seen) = (server.new_cluster(1).await, server.new_cluster(1).await);
    for url in [&unseen, &seen] {
        assert_eq!(register(&client, url, 1).await.status(), StatusCode::CREATED);
    }
    let observed = json!([{ "id": "1", "name": "infra1", "peer_urls": ["http://10.0.0.1:2380"], "reachable": true }]);
    let report = json!({
        "name": "infra1", "peer_urls": ["http://10.0.0.1:2380"], "state": "running", "member_id": "1", "cluster_id": "c1",
        "view": { "since": 2, "cluster_id": "c1", "linearizable": true, "leader": "1", "members": observed },
    });
    let cluster = seen.replace(&server.url, &format!("{}/v1/clusters", server.url));
    assert_eq!(client.post(format!("{cluster}/check-in")).json(&report).send().await.unwrap().status(), StatusCode::OK);
    let log = || server.output().contains("deleted clusters that no convene has seen").then_some(());
    wait_for(LIMIT, log).unwrap_or_else(|| panic!("{}", server.output()));
    assert_eq!(client.get(&unseen).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let size = unseen.replace(&server.url, &format!("{}/v2/keys/_etcd/registry", server.url)) + "/_config/size";
    let again = client.put(size).form(&[("value", "1")]).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(client.get(&seen).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn large_changes_shorten_the_history_and_whoever_asks_for_older_ones_is_told() {
    let server = Server::start();
    let (client, url) = (http::client(), server.new_cluster(3).await);
    let label = "a".repeat(60);
    // 120 changes of two values, each of 3 KiB, are more than a quarter of 1 MiB.
    for n in 0..120 {
        let pairs: Vec<_> = (0..15).map(|u| format!("infra1=http://h{n}-{u}.{label}.{label}.{label}:2380")).collect();
        let put = client.put(format!("{url}/1")).form(&[("value", pairs.join(","))]);
        assert!(put.send().await.unwrap().status().is_success());
    }
    let old = client.get(format!("{url}?wait=true&recursive=true&waitIndex=2")).send().await.unwrap();
    assert_eq!(old.json::<Value>().await.unwrap()["errorCode"], 401);
    let events = url.replace(&server.url, &format!("{}/v1/clusters", server.url)) + "/events?after=1";
    assert_eq!(client.get(events).send().await.unwrap().status(), StatusCode::GONE);
    let recent = client.get(format!("{url}/1?wait=true&waitIndex=110")).send().await.unwrap();
    assert_eq!(recent.json::<Value>().await.unwrap()["node"]["modifiedIndex"], 110);
}

#[tokio::test]
async fn a_full_database_takes_no_new_cluster_and_existing_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // On SQLite, because a PostgreSQL without any cluster is larger already.
    let server = Server::start_on(
        &sqlite_url(&folder.path().join("convene.db")),
        &[
            "--max-database-bytes",
            "1MiB",
            "--max-new-per-hour",
            "0",
            "--max-requests-per-second",
            "0",
            "--max-clusters-per-address",
            "1000000",
        ],
    );
    let client = http::client();
    let url = server.new_cluster(3).await;
    let mut refused = None;
    // At the same time, so that they share commits.
    for _ in 0..200 {
        let answers = join_all((0..100).map(|_| new(&client, &server))).await;
        refused = answers.into_iter().find(|(status, _)| *status == StatusCode::INSUFFICIENT_STORAGE);
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("the database is full").1;
    assert!(refused.contains("--max-database-bytes"), "{refused}");
    for n in 1..=3 {
        assert_eq!(
            register(&client, &url, n).await.status(),
            StatusCode::CREATED,
            "the reserve is for existing clusters"
        );
    }
    assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::OK);
}

/// A registration of 3 KiB that no database can compress.
fn large_registration(n: usize) -> String {
    let mut random = [0; 15 * 90];
    getrandom::fill(&mut random).unwrap();
    let hosts = random.chunks(90).map(|bytes| {
        let label = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("infra{n}=http://h{}.x{}.x{}:2380", label(&bytes[..30]), label(&bytes[30..60]), label(&bytes[60..]))
    });
    hosts.collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn a_full_postgres_takes_new_clusters_again_when_others_are_gone() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    drop(Server::start_on(&database, &[]));
    let size = postgres.execute(&database, "select pg_database_size(current_database())");
    let reserve_from = size.trim().parse::<u64>().unwrap() + (3 << 20);
    let most = (reserve_from * 5 / 4).to_string();
    let server = Server::start_on(&database, &["--max-database-bytes", &most]);
    let client = http::client();
    let create = async |n: usize| {
        let (status, url) = new(&client, &server).await;
        if status == StatusCode::OK {
            let put = client.put(format!("{url}/1")).form(&[("value", large_registration(n))]);
            assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
        }
        (status == StatusCode::OK).then_some(url)
    };
    let mut created = Vec::new();
    for _ in 0..40 {
        let found = join_all((0..50).map(create)).await;
        let is_full = found.iter().any(Option::is_none);
        created.extend(found.into_iter().flatten());
        if is_full {
            break;
        }
    }
    let is_refused = async || new(&client, &server).await.0 == StatusCode::INSUFFICIENT_STORAGE;
    assert!(is_refused().await, "{} clusters", created.len());
    let deleted = created.iter().map(|url| {
        let token = url.rsplit('/').next().unwrap();
        client.delete(format!("{}/v1/clusters/{token}", server.url)).send()
    });
    assert!(join_all(deleted).await.into_iter().all(|deleted| deleted.unwrap().status().is_success()));
    // As autovacuum does within a minute or so.
    postgres.execute(&database, "vacuum");
    let deadline = tokio::time::Instant::now() + LIMIT;
    while is_refused().await {
        assert!(tokio::time::Instant::now() < deadline, "the database stays full");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
