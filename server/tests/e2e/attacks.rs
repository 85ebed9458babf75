//! Clients that take what they can get and give nothing back. The server's memory stays bounded, it answers health checks, and a
//! client with another address is served as if nobody else were there.
//!
//! The attacker is a process of its own, [`driver`], so that it costs the honest client none of its own time.

mod driver;
mod honest;

use std::{
    env,
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use convene_harness::{Process, http, server::Server, tls::Ca, wait_for};

use driver::Attack;
use honest::Honest;

const LIMIT: Duration = Duration::from_secs(60);

/// What the server may have in memory, whatever the attack.
const MOST_KIB: u64 = 512 * 1024;

/// How large an attack is.
struct Size {
    connections: usize,
    streams: usize,
    waits: usize,
    /// How long an honest client is watched, before and during the attack.
    watched: Duration,
    /// Whether the honest client's times must be as good as without the attack. That needs a machine with nothing else to do.
    is_timed: bool,
}

const SMALL: Size =
    Size { connections: 300, streams: 2_048, waits: 2_500, watched: Duration::from_millis(1_500), is_timed: false };

#[test]
fn one_connection_whose_streams_are_not_read_costs_little() {
    withstand(Attack::Streams, &SMALL);
}

#[test]
fn many_readers_that_do_not_read_cost_little() {
    withstand(Attack::Readers, &SMALL);
}

#[test]
fn many_unfinished_heads_cost_little() {
    withstand(Attack::Heads, &SMALL);
}

#[test]
fn many_unfinished_handshakes_cost_little() {
    withstand(Attack::Handshakes, &SMALL);
}

#[test]
fn one_client_does_not_take_all_waits() {
    withstand(Attack::Waits, &SMALL);
}

#[test]
fn requests_that_are_reset_at_once_are_not_carried_out() {
    withstand(Attack::Resets, &SMALL);
}

/// Starts a server, attacks it, and shows that an honest client does not notice.
fn withstand(attack: Attack, size: &Size) {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let ca = Ca::new();
    let flags = ["--wait-timeout", "10m"];
    let with_tls = attack == Attack::Handshakes;
    let server = if with_tls { Server::start_with_tls(&ca.node(), &flags) } else { Server::start_with(&flags) };
    let client = if with_tls { http::tls_client(&ca.file(), None) } else { http::client() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(large_cluster(&client, &server));
    let path = cluster.strip_prefix(&server.url).unwrap();
    let idle = server.resident_kib();

    let quiet = runtime.block_on(Honest::watch(&client, &cluster, size.watched));
    let count = match attack {
        Attack::Readers | Attack::Heads | Attack::Handshakes => size.connections,
        Attack::Streams => size.streams,
        Attack::Waits => size.waits,
        Attack::Resets => usize::MAX,
    };
    let attacker = start(attack, count, &server, path);
    let memory = std::thread::scope(|scope| {
        let (server, attacker) = (&server, &attacker);
        let watching = scope.spawn(move || most_memory(server, size.watched));
        attacker.wait_for_stdout("attacking", LIMIT);
        watching.join().unwrap()
    });
    let attacked = runtime.block_on(Honest::watch(&client, &cluster, size.watched));
    let memory = memory.max(most_memory(&server, Duration::ZERO));
    runtime.block_on(answers_health_checks(&client, &server));
    say(&format!(
        "{attack:?} × {count}: {} MiB at most ({} before); p50/p99 {quiet}, attacked {attacked}; {}",
        memory >> 10,
        idle >> 10,
        attacker.stdout().lines().rfind(|line| line.starts_with("attacking")).unwrap_or_default(),
    ));
    assert!(memory < MOST_KIB, "{memory} KiB");
    let allowed = 2 * quiet.p99.max(Duration::from_millis(5));
    assert!(!size.is_timed || attacked.p99 <= allowed, "{quiet}, {attacked}");
    if attack == Attack::Resets {
        let made = runtime.block_on(clusters(&client, &server));
        assert!(made <= 1 + attacked.requests / 100, "{made} clusters exist");
    }
    assert!(!server.output().contains("panic"), "{}", server.output());
}

/// A cluster whose members make an answer of 120 KiB.
async fn large_cluster(client: &reqwest::Client, server: &Server) -> String {
    const MEMBERS: usize = 31;
    let cluster = client.get(format!("{}/new?size={MEMBERS}", server.url)).send().await.unwrap().text().await.unwrap();
    for member in 0..MEMBERS {
        let urls: Vec<_> = (0..16).map(|n| format!("m{member}=http://{:x<215}{member}-{n}:2380", "")).collect();
        let value = urls.join(",");
        let put = client.put(format!("{cluster}/{member}")).form(&[("value", value)]).send().await.unwrap();
        assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
    }
    cluster
}

fn start(attack: Attack, count: usize, server: &Server, path: &str) -> Process {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(env::current_exe().unwrap());
    command.args(["attacks::driver::attacks_as_it_is_told", "--exact", "--ignored", "--nocapture"]);
    command.env(driver::TOLD, format!("{attack:?} {count} {} {path}", server.address()));
    Process::spawn("attacker", &mut command)
}

/// The most memory that a server has while it is watched, in KiB.
fn most_memory(server: &Server, watched: Duration) -> u64 {
    let (begun, mut most) = (Instant::now(), 0);
    loop {
        most = most.max(server.resident_kib());
        if begun.elapsed() >= watched {
            return most;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// On a new connection.
async fn answers_health_checks(client: &reqwest::Client, server: &Server) {
    for path in ["/livez", "/readyz"] {
        let request =
            client.get(format!("{}{path}", server.url)).timeout(Duration::from_secs(2)).header("Connection", "close");
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
}

async fn clusters(client: &reqwest::Client, server: &Server) -> usize {
    let metrics = client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    let counts = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("convene_clusters{")?.split_once("} ")?.1.parse::<usize>().ok());
    counts.sum()
}

#[test]
fn health_checks_are_answered_when_one_address_or_many_hold_all_connections() {
    for (flag, addresses) in [("--max-connections-per-address", 1), ("--max-connections", 50)] {
        let server = Server::start_with(&[flag, "100"]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _held = runtime.block_on(driver::connect_many(server.address(), 150, addresses, b"GET / HT"));
        let refused = if addresses == 1 { 429 } else { 503 };
        let is_full = || runtime.block_on(driver::status(server.address(), "127.0.1.1", "/new")) == Some(refused);
        wait_for(LIMIT, || is_full().then_some(())).unwrap_or_else(|| panic!("{flag}: {}", server.output()));
        for path in ["/livez", "/readyz"] {
            for source in ["127.0.0.1", "127.0.1.1"] {
                assert_eq!(
                    runtime.block_on(driver::status(server.address(), source, path)),
                    Some(200),
                    "{flag} {path} {source}"
                );
            }
        }
        let others = runtime.block_on(driver::status(server.address(), "127.0.0.1", "/new"));
        assert_eq!(others, Some(if addresses == 1 { 200 } else { 503 }), "{flag}");
    }
}

#[expect(clippy::explicit_write, reason = "what is written to standard error itself shows for tests that pass, too")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

mod large {
    use super::*;

    const LARGE: Size =
        Size { connections: 5_000, streams: 2_048, waits: 10_000, watched: Duration::from_secs(8), is_timed: true };

    #[test]
    fn a_connection_with_2048_streams_that_are_not_read() {
        withstand(Attack::Streams, &LARGE);
    }

    #[test]
    fn five_thousand_stalled_readers() {
        withstand(Attack::Readers, &LARGE);
    }

    #[test]
    fn five_thousand_unfinished_heads() {
        withstand(Attack::Heads, &LARGE);
    }

    #[test]
    fn five_thousand_unfinished_handshakes() {
        withstand(Attack::Handshakes, &LARGE);
    }

    #[test]
    fn ten_thousand_waits_of_one_client() {
        withstand(Attack::Waits, &LARGE);
    }

    #[test]
    fn rapid_resets_of_new() {
        withstand(Attack::Resets, &LARGE);
    }
}
