//! The metrics that are not counted when something happens, but looked up when somebody asks for them.

use std::time::{Duration, Instant};

use super::Registry;
use crate::{metrics::Phase, store::ClusterCounts};

/// How long a count of clusters is used at least.
const MIN_AGE: Duration = Duration::from_secs(10);

/// How long a count is used: at least this time, and a hundred times the time that it took, so that counting keeps a reader busy for
/// at most 1 % of the time, however many clusters there are.
pub fn use_count_for(at_least: Duration, took: Duration) -> Duration {
    at_least.max(took * 100)
}

/// How long a count may take: Prometheus waits for 10 s for an answer.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The last attempt to count the clusters.
pub(super) struct LastCount {
    at: Instant,
    took: Duration,
}

impl Registry {
    /// Updates the gauges of clusters and of the database. If the clusters can't be counted, the last count stays.
    pub async fn update_gauges(&self) {
        self.store.metrics().set_down_for(self.store.down_for());
        let mut last = self.last_count.lock().await;
        if last.as_ref().is_some_and(|last| last.at.elapsed() < use_count_for(MIN_AGE, last.took)) {
            return;
        }
        let begun = Instant::now();
        match self.store.count_clusters(TIME_LIMIT).await {
            Ok(counts) => self.show_counts(counts),
            Err(error) => tracing::debug!(%error, "can't count the clusters for /metrics"),
        }
        *last = Some(LastCount { at: Instant::now(), took: begun.elapsed() });
    }

    fn show_counts(&self, counts: ClusterCounts) {
        let ClusterCounts { forming, held, formed, bootstrapped, paused } = counts;
        for (phase, count) in [
            (Phase::Forming, forming),
            (Phase::Held, held),
            (Phase::Formed, formed),
            (Phase::Bootstrapped, bootstrapped),
        ] {
            self.metrics.set_clusters(phase, count);
        }
        self.metrics.set_paused(paused);
    }
}
