//! A client as it should be, and how long it waits.

use std::{
    fmt,
    time::{Duration, Instant},
};

use reqwest::Client;

/// How long the requests of a client took.
pub struct Honest {
    pub requests: usize,
    pub p50: Duration,
    pub p99: Duration,
}

impl Honest {
    /// Sends requests for some time, one after another. None may fail.
    pub async fn watch(client: &Client, cluster: &str, time: Duration) -> Self {
        /// As an etcd that looks for its cluster, and not as a load test.
        const PAUSE: Duration = Duration::from_millis(2);
        let (begun, mut times) = (Instant::now(), Vec::new());
        let size = format!("{cluster}/_config/size");
        while begun.elapsed() < time {
            let sent = Instant::now();
            let answer =
                client.get(&size).timeout(Duration::from_secs(10)).send().await.expect("an honest client is served");
            assert_eq!(answer.status(), 200);
            answer.bytes().await.expect("an honest client gets its whole answer");
            times.push(sent.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        Self { requests: times.len(), p50: at(50), p99: at(99) }
    }
}

impl fmt::Display for Honest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?} of {}", self.p50, self.p99, self.requests)
    }
}
