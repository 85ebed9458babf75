//! The state of all clusters. v2, v3, `/v1` and the page show the same registry.
//!
//! Reads are answered from memory if possible ([`reads`]). All writes go through [`Registry::transact`]: the
//! [`committer`] decides them one after another, commits them, and publishes the events to the [`watch_hub`].
//! [`replication`] follows what other servers on the same database write.

mod batched_reads;
mod check_in;
mod clock;
mod committer;
mod counts;
mod follow;
mod liveness;
mod quota;
mod reads;
mod recent_writes;
mod replication;
mod snapshot;
mod transact;
mod used_tokens;
mod watch_hub;
mod went_back;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use convene_lifecycle::{PublicId, Token, UnixMillis};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, sync::Cache};
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
};

use crate::{
    metrics::{DatabaseMetrics, RegistryMetrics},
    store::{DatabaseSize, Stamp, Store, StoreError},
};
use batched_reads::BatchedReads;
use clock::Clock;
use committer::Committer;
use counts::LastCount;
use liveness::{ClusterLiveness, LivenessCache};
use recent_writes::RecentWrites;
use replication::Replication;
use snapshot::SnapshotWeight;
use transact::Job;
use watch_hub::WatchHub;

pub use check_in::{CheckIn, CheckInOutcome, TurnedAway};
pub use counts::use_count_for;
pub use follow::{FollowStep, Follower};
pub use quota::{Quota, QuotaExceeded, QuotaLimits};
pub use reads::{Consistency, KnownCluster};
pub use snapshot::Snapshot;
pub use transact::{Committed, Inputs, Needs};
pub use watch_hub::{Delivery, Subscription};

/// The memory for cached clusters, in bytes, approximately. Other clusters are read from the database on demand.
const CACHE_BYTES: u64 = 40 << 20;

/// An estimate of the number of cached clusters, from which the cache sizes its tables.
const CACHE_CLUSTERS: usize = 50_000;

/// The length of the committer's queue. Writers beyond it wait for a place.
const QUEUE: usize = 4096;

/// The most lists of clusters that are read at the same time. A list takes longer than any other read, and lists must not
/// occupy all connections.
const LISTS: usize = 2;

type SnapshotCache = Cache<Token, Arc<Snapshot>, SnapshotWeight>;

/// The state of all clusters, shared by all who serve it.
pub struct Registry {
    store: Arc<Store>,
    cache: Arc<SnapshotCache>,
    /// The tokens of clusters that requests have named by ID.
    tokens_by_id: Cache<PublicId, Token>,
    watch_hub: Arc<WatchHub>,
    liveness: Arc<LivenessCache>,
    clock: Arc<Clock>,
    recent_writes: Arc<RecentWrites>,
    quota: Arc<Quota>,
    jobs: mpsc::Sender<Job>,
    /// Reads the clusters that are not cached.
    loads: BatchedReads<Arc<Snapshot>>,
    /// Tells whether a cached cluster is the present one; `None` if no other server writes to the database.
    freshness: Option<BatchedReads<Stamp>>,
    lists: Semaphore,
    metrics: Arc<RegistryMetrics>,
    last_count: tokio::sync::Mutex<Option<LastCount>>,
    last_probe: tokio::sync::Mutex<Option<(Instant, Result<(), Unavailable>)>>,
    /// The tasks of [`Replication`], which end with the registry.
    _replication: JoinSet<()>,
}

/// Half of the memory is for clusters that have not been asked for again yet: a new cluster is, as soon as its nodes register. With the
/// default of the library they would be the first to leave.
fn snapshot_cache() -> SnapshotCache {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(CACHE_CLUSTERS)
        .weight_capacity(CACHE_BYTES)
        .hot_allocation(0.5)
        .build()
        .expect("the options have both capacities");
    Cache::with_options(options, SnapshotWeight, DefaultHashBuilder::default(), Default::default())
}

/// The registry can't answer now. The cause has been logged; clients get no details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the registry's database is unavailable; before you try again, check whether the change was made")]
pub struct Unavailable;

/// Why a write failed, apart from what its own decision refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The database can't be written now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The registry can't take more.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// A deleted cluster that had members used this token.
    #[error(
        "a deleted cluster used this token; choose another token, or have an administrator free this one (`convene cluster \
         delete --forget-used`)"
    )]
    TokenUsedUp,
}

impl Registry {
    /// Starts a registry on a store, and the committer's task. The task ends when the registry is dropped; if it ends
    /// earlier, the registry can't write any more.
    pub async fn start(store: Arc<Store>, limits: QuotaLimits) -> (Self, JoinHandle<()>) {
        let cache = Arc::new(snapshot_cache());
        let (clock, watch_hub, liveness) = (Arc::new(Clock::new()), Arc::default(), Arc::default());
        let recent_writes = Arc::<RecentWrites>::default();
        let quota = Arc::new(Quota::new(limits));
        let metrics = Arc::new(RegistryMetrics::default());
        metrics.set_notified(!store.is_shared());
        let (mut notifier, mut tasks) = (None, JoinSet::new());
        if store.is_shared() {
            let (cache, watch_hub) = (Arc::clone(&cache), Arc::clone(&watch_hub));
            let (store, clock, metrics) = (store.clone(), Arc::clone(&clock), Arc::clone(&metrics));
            let replication = Replication { store, clock, cache, watch_hub, metrics };
            // The first measurement includes the time to connect.
            replication.sync_clock().await;
            replication.sync_clock().await;
            notifier = Some(replication.start(&mut tasks));
        }
        let committer = Committer {
            metrics: Arc::clone(&metrics),
            store: store.clone(),
            clock: Arc::clone(&clock),
            cache: Arc::clone(&cache),
            watch_hub: Arc::clone(&watch_hub),
            liveness: Arc::clone(&liveness),
            recent_writes: Arc::clone(&recent_writes),
            quota: Arc::clone(&quota),
            notifier,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        // The committer has a thread of its own. As one task among many it would wait for its turn at each step of a commit,
        // and with it everyone who writes.
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || runtime.block_on(committer.run(queue)));
        let freshness = store.is_shared().then(|| BatchedReads::of_stamps(store.clone()));
        let loads = BatchedReads::of_clusters(store.clone());
        let lists = Semaphore::new(LISTS.min(store.readers() - 1).max(1));
        let registry = Self {
            store,
            cache,
            tokens_by_id: Cache::new(CACHE_CLUSTERS),
            watch_hub,
            liveness,
            clock,
            recent_writes,
            quota,
            jobs,
            loads,
            freshness,
            lists,
            metrics,
            last_count: Default::default(),
            last_probe: Default::default(),
            _replication: tasks,
        };
        (registry, task)
    }

    /// The registry's ID, which stays the same over restarts.
    pub fn id(&self) -> &str {
        self.store.registry_id()
    }

    /// The present time. All servers of a database agree on it.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// What is counted of registrations, clusters and waits.
    pub fn metrics(&self) -> &RegistryMetrics {
        &self.metrics
    }

    /// What is counted of transactions and reads.
    pub fn database_metrics(&self) -> &DatabaseMetrics {
        self.store.metrics()
    }

    /// What the registry may hold, and holds.
    pub fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Measures the database for the quota. `free` is what PostgreSQL will fill before the database grows: it is measured again if
    /// asked to, and stays otherwise. The files are measured each time, so they never grow far beyond the quota.
    pub async fn measure(&self, with_free: bool, free: &mut u64) -> Result<(), Unavailable> {
        let size = self.database_size().await?;
        let in_use: u64 = size.bytes_in_use.try_into().unwrap_or(0);
        if self.store.is_shared() && with_free {
            // It takes time, and does not matter as long as there is room anyway. What can't be measured does not count.
            let measured = if self.quota.is_reserve(in_use) { self.store.free_bytes().await.unwrap_or(0) } else { 0 };
            *free = measured.try_into().unwrap_or(0);
        }
        self.quota.set_database_bytes(in_use.saturating_sub(*free));
        Ok(())
    }

    /// Counts the clusters for the quota.
    pub async fn count_for_quota(&self) -> Result<(), Unavailable> {
        self.quota.set_clusters(self.store.cluster_count().await.map_err(unavailable)?);
        Ok(())
    }

    /// The size of the database.
    pub async fn database_size(&self) -> Result<DatabaseSize, Unavailable> {
        self.store.size().await.map_err(unavailable)
    }

    /// Checks that the database accepts writes. The result is at most a second old: frequent probes must not slow down
    /// writes.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        const MAX_AGE: Duration = Duration::from_secs(1);
        let mut last = self.last_probe.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < MAX_AGE
        {
            return result;
        }
        let result = match self.jobs.is_closed() {
            true => Err(Unavailable),
            false => self.store.probe().await.map_err(unavailable),
        };
        *last = Some((Instant::now(), result));
        result
    }

    /// For how long the database has been down; `None` if the last attempt to reach it succeeded.
    pub fn database_down_for(&self) -> Option<Duration> {
        self.store.down_for()
    }
}

/// Logs why the database failed, and hides it from clients.
pub fn unavailable(error: StoreError) -> Unavailable {
    // The store logs once that the database is down, or crowded.
    if !matches!(error, StoreError::Down | StoreError::Crowded) {
        tracing::error!(%error, "the database failed; asking the client to retry");
    }
    Unavailable
}

#[cfg(test)]
mod tests;
