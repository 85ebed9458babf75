//! Many watches with many events, and clients that are too fast or too slow. The server's memory stays bounded, and it
//! serves all other clients.

mod flood;
mod many;
mod stalled;

use std::io::Write;

use convene_harness::server::Server;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::v3_client::{Cluster, Watches, connect, revision};

/// A client that keeps changing and watching its own cluster.
struct Bystander {
    stop: oneshot::Sender<()>,
    changes: JoinHandle<usize>,
}

impl Bystander {
    async fn start(server: &Server) -> Self {
        let channel = connect(&server.url).await;
        let cluster = Cluster::create(&channel, "bystander").await;
        let mut watches = Watches::opened(&channel, cluster.watch(0)).await;
        let (stop, mut stopped) = oneshot::channel();
        let changes = tokio::spawn(async move {
            let mut changes = 0;
            while stopped.try_recv().is_err() {
                let changed = cluster.change(&channel, 3).await;
                let events = watches.next_events().await;
                assert_eq!(events.iter().map(revision).collect::<Vec<_>>(), [changed]);
                changes += 1;
            }
            changes
        });
        Self { stop, changes }
    }

    /// Ends the client, and asserts that it was served all the time.
    async fn stop(self) {
        self.stop.send(()).expect("the bystander is served");
        let changes = self.changes.await.unwrap();
        log(&format!("meanwhile, another client made {changes} changes and received each"));
        assert!(changes > 1);
    }
}

/// The memory that a server has gained.
struct Memory<'a> {
    server: &'a Server,
    before: u64,
}

impl<'a> Memory<'a> {
    fn from_now_on(server: &'a Server) -> Self {
        Self { server, before: server.resident_kib() }
    }

    /// Measures from here on.
    fn restarted(&self) -> Self {
        Self::from_now_on(self.server)
    }

    /// Fails if it has gained more than `limit` KiB.
    fn has_gained_at_most(&self, limit: u64, by: &str) {
        let gained = self.server.resident_kib().saturating_sub(self.before);
        log(&format!("{by}: {gained} KiB of memory; {limit} may be"));
        assert!(gained <= limit, "{by} cost the server {gained} KiB of memory");
    }
}

#[expect(clippy::explicit_write, reason = "what is written to standard error itself shows for tests that pass, too")]
fn log(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}
