//! A long poll waits outside the HTTP library. Its client must not notice.

use std::{collections::BTreeSet, time::Duration};

use convene_harness::{http, server::Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::scrape::Scrape;

/// A connection on which a test sends bytes.
struct Connection(TcpStream);

impl Connection {
    async fn open(server: &Server) -> Self {
        Self(TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// What comes until it ends with this text.
    async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !read.ends_with(end.as_bytes()) {
                read.push(self.0.read_u8().await.unwrap());
            }
        };
        let reading = timeout(Duration::from_secs(20), reading).await;
        let read = String::from_utf8(read).unwrap();
        reading.unwrap_or_else(|_| panic!("{end:?} has not come; there was {read:?}"));
        read
    }
}

/// The path of a new cluster.
async fn cluster(server: &Server) -> String {
    server.new_cluster(3).await.strip_prefix(&server.url).unwrap().to_owned()
}

fn poll(path: &str) -> String {
    format!("GET {path}?wait=true&recursive=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

async fn register(server: &Server, path: &str, member: u32) {
    let url = format!("{}{path}/{member}", server.url);
    let registered = http::client().put(url).form(&[("value", format!("infra{member}=http://10.0.0.{member}:2380"))]);
    assert_eq!(registered.send().await.unwrap().status(), 201);
}

/// Waits until so many long polls are open.
async fn wait_until_open(server: &Server, count: u32) {
    Scrape::until(server, r#"convene_waits{kind="v2"}"#, count.into()).await;
}

#[tokio::test]
async fn a_connection_takes_further_requests_after_a_long_poll() {
    let server = Server::start();
    let path = cluster(&server).await;
    let mut connection = Connection::open(&server).await;
    for member in 1..=3 {
        connection.send(&poll(&path)).await;
        let head = connection.read_until("\r\n\r\n").await;
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nTransfer-Encoding: chunked\r\n"),
            "{head}"
        );
        register(&server, &path, member).await;
        let body = connection.read_until("\r\n0\r\n\r\n").await;
        assert!(body.contains(&format!("infra{member}=http://10.0.0.{member}:2380")), "{body}");
        connection.send(&format!("GET {path}/_config/size HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).await;
        assert!(connection.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        connection.read_until("}\n").await;
    }
}

#[tokio::test]
async fn a_request_that_comes_during_a_long_poll_is_answered_after_it() {
    let server = Server::start();
    let path = cluster(&server).await;
    // The second one comes with the first, or while that waits.
    for (member, delay) in [(1, false), (2, true)] {
        let mut connection = Connection::open(&server).await;
        let next = format!("GET {path}/_config/size HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        connection.send(&(poll(&path) + if delay { "" } else { &next })).await;
        wait_until_open(&server, 1).await;
        if delay {
            connection.send(&next).await;
        }
        register(&server, &path, member).await;
        connection.read_until("\r\n\r\n").await;
        assert!(connection.read_until("\r\n0\r\n\r\n").await.contains(&format!("infra{member}=")));
        let mut rest = String::new();
        connection.0.read_to_string(&mut rest).await.unwrap();
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.contains("\"value\":\"3\""), "{rest}");
    }
}

#[tokio::test]
async fn the_head_of_an_answer_is_that_of_the_http_library() {
    let server = Server::start();
    let path = cluster(&server).await;
    // Nothing rests for a client of HTTP/1.0, which does not know bodies of pieces.
    let mut heads = Vec::new();
    for request in [poll(&path), poll(&path).replace("HTTP/1.1", "HTTP/1.0")] {
        let mut connection = Connection::open(&server).await;
        connection.send(&request).await;
        let head = connection.read_until("\r\n\r\n").await;
        let lines: BTreeSet<String> = head.lines().skip(1).map(of_every_answer).collect();
        heads.push(lines.into_iter().filter(|line| line != "Transfer-Encoding: chunked").collect::<Vec<_>>());
    }
    assert_eq!(heads[0], heads[1]);
    assert!(heads[0].contains(&"X-Etcd-Index: 1".to_owned()), "{heads:?}");
}

/// A line of a head without what differs from answer to answer.
fn of_every_answer(line: &str) -> String {
    match line.split_once(": ") {
        Some((name @ ("Date" | "X-Request-Id"), _)) => name.to_owned(),
        _ => line.to_owned(),
    }
}

#[tokio::test]
async fn a_wait_ends_when_its_client_goes_away() {
    let server = Server::start();
    let path = cluster(&server).await;
    let mut connection = Connection::open(&server).await;
    connection.send(&poll(&path)).await;
    connection.read_until("\r\n\r\n").await;
    wait_until_open(&server, 1).await;
    drop(connection);
    wait_until_open(&server, 0).await;
}

#[tokio::test]
async fn the_connection_ends_after_the_answer_if_its_client_wants_that() {
    let server = Server::start();
    let path = cluster(&server).await;
    let mut connection = Connection::open(&server).await;
    connection.send(&poll(&path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    assert!(connection.read_until("\r\n\r\n").await.contains("\r\nConnection: close\r\n"));
    register(&server, &path, 1).await;
    let mut body = String::new();
    connection.0.read_to_string(&mut body).await.unwrap();
    assert!(body.contains("infra1=") && body.ends_with("\r\n0\r\n\r\n"), "{body}");
}

#[tokio::test]
async fn a_poll_without_an_event_ends_with_an_empty_body_and_the_connection_goes_on() {
    let server = Server::start_with(&["--wait-timeout", "1s"]);
    let path = cluster(&server).await;
    let mut connection = Connection::open(&server).await;
    for _ in 0..2 {
        connection.send(&poll(&path)).await;
        connection.read_until("\r\n\r\n").await;
        assert_eq!(connection.read_until("0\r\n\r\n").await, "0\r\n\r\n");
        connection.send(&format!("GET {path}/_config/size HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).await;
        let head = connection.read_until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
        connection.read_until("}\n").await;
    }
}
