//! Who a client is, behind a proxy and without one.

use std::time::Duration;

use convene_harness::{server::Server, wait_for};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_word_of_a_trusted_proxy_counts_and_nobody_elses() {
    let trusting = Server::start_with(&["--trusted-proxies", "127.0.0.1"]);
    let other = Server::start_with(&["--trusted-proxies", "10.0.0.0/8"]);
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x05\x0a\0\0\x01\x12\x34\0\x50";
    for (n, (sent, expected)) in [
        (get("/one", "X-Forwarded-For: 198.51.100.7, 192.0.2.1\r\n").into_bytes(), "192.0.2.1"),
        (get("/one", "Forwarded: for=192.0.2.2;proto=https\r\n").into_bytes(), "192.0.2.2"),
        ([b"PROXY TCP4 192.0.2.3 10.0.0.1 4660 80\r\n", get("/one", "").as_bytes()].concat(), "192.0.2.3"),
        // Who is named by the proxy is no proxy, and may not name others.
        (
            [b"PROXY TCP4 192.0.2.4 10.0.0.1 4660 80\r\n", get("/one", "X-Forwarded-For: 192.0.2.9\r\n").as_bytes()]
                .concat(),
            "192.0.2.4",
        ),
        ([&v2[..], get("/one", "").as_bytes()].concat(), "192.0.2.5"),
        (get("/one", "").into_bytes(), "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = exchange(&trusting, &sent).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{n}: {answer}");
        wait_for(LIMIT, || trusting.output().contains(&format!("remote={expected}:")).then_some(()))
            .unwrap_or_else(|| panic!("{expected}: {}", trusting.output()));
    }
    let contradiction = get("/one", "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n");
    let answer = exchange(&trusting, contradiction.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("name different clients"), "{answer}");
    assert_eq!(exchange(&trusting, b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\n\r\n").await, "");

    exchange(&other, get("/one", "X-Forwarded-For: 192.0.2.1\r\n").as_bytes()).await;
    let proxied = exchange(&other, b"PROXY TCP4 192.0.2.3 10.0.0.1 4660 80\r\n\r\n").await;
    assert!(proxied.is_empty() || proxied.starts_with("HTTP/1.1 400"), "{proxied}");
    wait_for(LIMIT, || other.output().contains("remote=127.0.0.1:").then_some(())).unwrap();
    assert!(!other.output().contains("192.0.2."), "{}", other.output());
}

#[tokio::test]
async fn the_clients_of_a_proxy_have_limits_of_their_own() {
    let server = Server::start_with(&["--trusted-proxies", "127.0.0.1", "--max-waits-per-address", "2"]);
    let cluster = server.new_cluster(3).await;
    let path = cluster.strip_prefix(&server.url).unwrap();
    let mut open = Vec::new();
    for (client, expected) in [("1", "200"), ("1", "200"), ("1", "503"), ("2", "200")] {
        let request = format!("GET {path}?wait=true HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.{client}\r\n\r\n");
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        tokio::time::timeout(LIMIT, connection.read_exact(&mut status)).await.unwrap().unwrap();
        assert_eq!(&status[9..], expected.as_bytes());
        open.push(connection);
    }
}

/// What the server answers before it closes the connection.
async fn exchange(server: &Server, sent: &[u8]) -> String {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has no more to read.
    let _ = tokio::time::timeout(LIMIT, connection.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}
