//! Sends check-ins at a fixed rate, and prints how long they took. `bench/scale` measures by it: a tool that waits for answers before it
//! sends more would hide that a server falls behind.
//!
//! usage: paced IP:PORT FILE RATE SECONDS
//!
//! Each line of the file is a path, a tab, and a JSON body.

use std::{
    env,
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, sleep_until},
};

type Failure = Box<dyn Error + Send + Sync>;

const CONNECTIONS: u32 = 256;

/// The requests, in their order, of all connections.
struct Requests {
    all: Vec<String>,
    next: AtomicUsize,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, file, rate, seconds] = arguments.as_slice() else {
        return Err("usage: paced IP:PORT FILE RATE SECONDS".into());
    };
    let (rate, seconds): (u32, u32) = (rate.parse()?, seconds.parse()?);
    let all = fs::read_to_string(file)?.lines().map(|line| request(address, line)).collect::<Option<_>>();
    let requests = Arc::new(Requests { all: all.ok_or("a line has no tab")?, next: AtomicUsize::new(0) });
    let mut times = tokio::runtime::Runtime::new()?.block_on(send(address, &requests, rate, seconds))?;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{} {:.2} {:.2} {:.2}", times.len(), at(0.5), at(0.99), at(1.0));
    Ok(())
}

fn request(address: &str, line: &str) -> Option<String> {
    let (path, body) = line.split_once('\t')?;
    let length = body.len();
    Some(format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// How long each request took, from the moment at which it was due.
async fn send(address: &str, requests: &Arc<Requests>, rate: u32, seconds: u32) -> Result<Vec<Duration>, Failure> {
    let begin = Instant::now() + Duration::from_secs(1);
    let count = rate * seconds / CONNECTIONS;
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (address, requests) = (address.to_owned(), requests.clone());
            let due = move |at: u32| begin + Duration::from_secs(1) * (at * CONNECTIONS + number) / rate;
            tokio::spawn(async move { send_by_one(&address, &requests, (0..count).map(due)).await })
        })
        .collect();
    let mut times = Vec::new();
    for connection in connections {
        times.extend(connection.await??);
    }
    Ok(times)
}

async fn send_by_one(
    address: &str,
    requests: &Requests,
    due: impl Iterator<Item = Instant>,
) -> Result<Vec<Duration>, Failure> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_ref().set_nodelay(true)?;
    let mut times = Vec::new();
    for due in due {
        sleep_until(due).await;
        let next = requests.next.fetch_add(1, Ordering::Relaxed);
        stream.write_all(requests.all[next % requests.all.len()].as_bytes()).await?;
        read_answer(&mut stream).await?;
        times.push(due.elapsed());
    }
    Ok(times)
}

async fn read_answer(stream: &mut BufReader<TcpStream>) -> Result<(), Failure> {
    let (mut status, mut length) = (String::new(), 0);
    stream.read_line(&mut status).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(format!("{}: {}", status.trim(), String::from_utf8_lossy(&body)).into())
}
