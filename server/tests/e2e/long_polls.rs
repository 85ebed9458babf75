//! Long polls: many at once, from history, while a cluster forms and afterwards.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use convene_harness::{http, server::Server};
use futures_util::{StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const POLLS: usize = 5_000;

/// How many connections are opened, or requests sent, at a time.
const AT_ONCE: usize = 100;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_polls_of_as_many_clusters_are_answered_by_one_registration_each() {
    let server = server_for_many_polls();
    let client = http::client();
    let clusters: Vec<String> = each((0..POLLS).collect(), |_| server.new_cluster(3)).await;
    let before = server.resident_kib();
    let polls = each(clusters.clone(), |cluster| Poll::open(cluster, "wait=true&recursive=true")).await;
    report("5,000 polls of 5,000 clusters", server.resident_kib() - before);

    let begun = Instant::now();
    each(clusters, |cluster| register(&client, cluster, "1")).await;
    for answer in each(polls, Poll::answer).await {
        assert_eq!(node_value(&answer), "infra1=http://10.0.0.1:2380");
    }
    say(&format!("5,000 polls of 5,000 clusters: answered by 5,000 registrations in {:?}", begun.elapsed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_polls_of_one_cluster_are_answered_by_one_registration() {
    let server = server_for_many_polls();
    let cluster = server.new_cluster(3).await;
    let before = server.resident_kib();
    let polls = each(vec![cluster.clone(); POLLS], |cluster| Poll::open(cluster, "wait=true&recursive=true")).await;
    report("5,000 polls of one cluster", server.resident_kib() - before);

    let begun = Instant::now();
    register(&http::client(), cluster, "1").await;
    for answer in each(polls, Poll::answer).await {
        assert_eq!(node_value(&answer), "infra1=http://10.0.0.1:2380");
    }
    say(&format!("5,000 polls of one cluster: answered by one registration in {:?}", begun.elapsed()));
}

#[tokio::test]
async fn polls_of_a_forming_cluster_return_new_members_only() {
    let server = Server::start();
    let client = http::client();
    let cluster = server.new_cluster(3).await;
    register(&client, cluster.clone(), "1").await;

    let poll = Poll::open(cluster.clone(), "wait=true&recursive=true").await;
    client.put(format!("{cluster}/1")).form(&[("value", "infra1=http://10.0.0.1:2381")]).send().await.unwrap();
    client.delete(format!("{cluster}/1")).send().await.unwrap();
    register(&client, cluster.clone(), "1").await;
    register(&client, cluster.clone(), "2").await;
    assert_eq!(node_value(&poll.answer().await), "infra2=http://10.0.0.2:2380");

    // A client that begins to wait at index 4, between removal and return, has not seen the member.
    let poll = Poll::open(cluster.clone(), "wait=true&recursive=true&waitIndex=5").await;
    assert_eq!(node_value(&poll.answer().await), "infra1=http://10.0.0.1:2380");
}

#[tokio::test]
async fn polls_of_a_formed_cluster_return_every_change() {
    let server = Server::start_with(&["--stock-writes", "allow"]);
    let client = http::client();
    let cluster = server.new_cluster(1).await;
    register(&client, cluster.clone(), "1").await;

    let poll = Poll::open(cluster.clone(), "wait=true&recursive=true").await;
    client.delete(format!("{cluster}/1")).send().await.unwrap();
    let answer: Value = serde_json::from_str(&poll.answer().await).unwrap();
    assert_eq!((answer["action"].as_str(), &answer["node"]["value"]), (Some("delete"), &Value::Null));
}

#[tokio::test]
async fn a_poll_from_before_a_reset_does_not_return_founders_of_the_next_epoch() {
    let server = Server::start_with(&["--wait-timeout", "2s"]);
    let client = http::client();
    let cluster = server.new_cluster(3).await;
    register(&client, cluster.clone(), "1").await;
    let token = cluster.rsplit_once('/').unwrap().1;
    let api = format!("{}/v1/clusters/{token}", server.url);

    let early = Poll::open(cluster.clone(), "wait=true&recursive=true&waitIndex=3").await;
    let reset = client.post(format!("{api}/reset")).json(&json!({ "token": token })).send().await.unwrap();
    assert_eq!(reset.status(), 200);
    let founder = json!({ "name": "infra9", "peer_urls": ["http://10.0.0.9:2380"], "state": "empty" });
    let founder = client.post(format!("{api}/check-in")).json(&founder).send().await.unwrap();
    assert_eq!(founder.json::<Value>().await.unwrap()["reason"], "forming");
    let late = Poll::open(cluster.clone(), "wait=true&recursive=true&waitIndex=3").await;
    assert_eq!((early.answer().await.as_str(), late.answer().await.as_str()), ("", ""));
}

#[tokio::test]
async fn a_poll_without_an_event_ends_with_an_empty_response() {
    let server = Server::start_with(&["--wait-timeout", "1s"]);
    let cluster = server.new_cluster(3).await;
    let poll = Poll::open(cluster, "wait=true").await;
    assert_eq!(poll.answer().await, "");
}

#[tokio::test]
async fn a_poll_ends_when_its_cluster_is_deleted() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let token = cluster.rsplit_once('/').unwrap().1;
    let forming = Poll::open(cluster.clone(), "wait=true&recursive=true").await;
    let member = Poll::open(format!("{cluster}/1"), "wait=true").await;
    let keys_url = format!("{}/v2/keys/_etcd/registry/{token}?recursive=true", server.url);
    assert_eq!(http::client().delete(keys_url).send().await.unwrap().status(), 200);
    assert_eq!(forming.answer().await, "");
    assert!(member.answer().await.contains(r#""action":"delete""#));
    assert_eq!(http::get(cluster).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_poll_that_is_far_behind_misses_nothing() {
    let server = Server::start_with(&["--stock-writes", "allow"]);
    let client = http::client();
    let cluster = server.new_cluster(3).await;
    let poll = Poll::open(format!("{cluster}/last"), "wait=true").await;
    for n in 1..=100 {
        register(&client, cluster.clone(), &n.to_string()).await;
    }
    let value = "last=http://10.0.0.200:2380";
    client.put(format!("{cluster}/last")).form(&[("value", value)]).send().await.unwrap();
    assert_eq!(node_value(&poll.answer().await), value);
}

/// A long poll that the server has begun to answer.
struct Poll {
    connection: TcpStream,
    head: Vec<u8>,
}

impl Poll {
    async fn open(url: String, query: &str) -> Self {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /{path}?{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(connection.read_buf(&mut head).await.unwrap() > 0, "the connection closed");
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        Self { connection, head }
    }

    /// Waits for the end of the answer and returns its body.
    async fn answer(mut self) -> String {
        let read = self.connection.read_to_end(&mut self.head);
        tokio::time::timeout(LIMIT, read).await.expect("the poll is answered").unwrap();
        let answer = String::from_utf8(self.head).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.contains("Transfer-Encoding: chunked") { dechunk(body) } else { body.to_owned() }
    }
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        match usize::from_str_radix(size, 16).unwrap() {
            0 => return whole,
            size => {
                whole.push_str(&rest[..size]);
                body = &rest[size + 2..];
            }
        }
    }
}

/// With the polls' own time-out out of the way.
fn server_for_many_polls() -> Server {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let most = (POLLS + 100).to_string();
    Server::start_with(&[
        "--wait-timeout",
        "10m",
        "--max-connections-per-address",
        &most,
        "--max-waits-per-address",
        &most,
        "--stock-writes",
        "allow",
    ])
}

/// Does something for each item, some of them at a time.
async fn each<I, T, F: Future<Output = T>>(items: Vec<I>, work: impl Fn(I) -> F) -> Vec<T> {
    stream::iter(items).map(work).buffered(AT_ONCE).collect().await
}

async fn register(client: &Client, cluster: String, member: &str) {
    let value = format!("infra{member}=http://10.0.0.{member}:2380");
    let request = client.put(format!("{cluster}/{member}?prevExist=false")).form(&[("value", value)]);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

fn node_value(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    answer["node"]["value"].as_str().unwrap().to_owned()
}

fn report(what: &str, kib: u64) {
    say(&format!("{what}: {:.1} KiB of memory each", kib as f64 / POLLS as f64));
}

#[expect(clippy::explicit_write, reason = "what is written to standard error itself shows for tests that pass, too")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}
