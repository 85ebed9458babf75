//! The one registry that every face is a view of.
//!
//! Reads are answered from memory where they can be. Writes are decided one after another by the
//! [`committer`], on the present state, and acknowledged once they are on the disk. Whoever waits is
//! told of each event after that.

mod check_in;
mod clock;
mod committer;
mod follow;
mod freshness;
mod liveness;
mod replication;
mod snapshot;
mod watch_hub;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use convene_lifecycle::{Cluster, Event, Liveness, Revision, Settings, Token, Transition, UnixMillis};
use quick_cache::sync::Cache;
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

use crate::store::{ClusterFilter, ClusterSummary, Cursor, DatabaseSize, Stamp, Store, StoreError};
use clock::Clock;
use committer::{Answer, Committer, Decide, Job};
use freshness::Freshness;
use liveness::{ClusterLiveness, LivenessCache};
use replication::Replication;
use snapshot::SnapshotWeight;
use watch_hub::{DeliveredState, WatchHub};

pub use check_in::CheckInOutcome;
pub use committer::Committed;
pub use follow::{FollowStep, Follower};
pub use snapshot::Snapshot;
pub use watch_hub::{Delivery, Subscription};

/// How many bytes of clusters are kept in memory, roughly; the others are read from the database
/// when they are asked for.
const CACHE_BYTES: u64 = 64 << 20;

/// About how many clusters that is; only sizes the cache's tables.
const CACHE_CLUSTERS: usize = 50_000;

/// How many writes may wait for the committer before further ones wait for a place in line.
const QUEUE: usize = 4096;

/// How many lists of clusters are read at a time, at most. They take longer than everything else that is read, so they must
/// not have all connections at once.
const LISTS: usize = 2;

/// The most events that one look into history returns. Each of those who follow may hold as many.
const HISTORY_PAGE: u32 = 64;

type SnapshotCache = Cache<Token, Arc<Snapshot>, SnapshotWeight>;

/// The clusters, shared by all that serve them.
pub struct Registry {
    store: Arc<Store>,
    cache: Arc<SnapshotCache>,
    watch_hub: Arc<WatchHub>,
    liveness: Arc<LivenessCache>,
    clock: Arc<Clock>,
    jobs: mpsc::Sender<Job>,
    /// Knows which state of a cluster is the present one, where other servers write to the database as well.
    freshness: Option<Freshness>,
    lists: Semaphore,
    last_probe: tokio::sync::Mutex<Option<(Instant, Result<(), Unavailable>)>>,
    /// Listen to other servers, and end with the registry.
    _replication: JoinSet<()>,
}

/// The registry can't answer now. What it is has been logged; those who asked get no details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the registry's database is not available; try again, and look first whether a write was made all the same")]
pub struct Unavailable;

/// Why a write was not made, for reasons that have nothing to do with what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The database can't be written now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A cluster that members had registered in was deleted under this token.
    #[error("this token was used by a cluster that has been deleted; a token names one cluster for ever: take another")]
    TokenUsedUp,
}

impl Registry {
    /// A registry on a store, and the task that writes for it. The task ends when the registry is
    /// dropped; should it end before, then nothing can be written any more.
    pub async fn start(store: Arc<Store>) -> (Self, JoinHandle<()>) {
        let cache = Arc::new(Cache::with_weighter(CACHE_CLUSTERS, CACHE_BYTES, SnapshotWeight));
        let (clock, watch_hub, liveness) = (Arc::new(Clock::new()), Arc::default(), Arc::default());
        let (mut notifier, mut replication) = (None, JoinSet::new());
        if store.is_shared() {
            let (cache, watch_hub) = (Arc::clone(&cache), Arc::clone(&watch_hub));
            let replicator = Replication { store: store.clone(), clock: Arc::clone(&clock), cache, watch_hub };
            // The first question has to make a connection, which may take longer than its answer is good for.
            let _ = replicator.sync_clock().await || replicator.sync_clock().await;
            notifier = Some(replicator.start(&mut replication));
        }
        let committer = Committer {
            store: store.clone(),
            clock: Arc::clone(&clock),
            cache: Arc::clone(&cache),
            watch_hub: Arc::clone(&watch_hub),
            liveness: Arc::clone(&liveness),
            notifier,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        // A thread of its own: among the other tasks it would wait for its turn at each step of a commit, and
        // everybody who writes with it.
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || runtime.block_on(committer.run(queue)));
        let freshness = store.is_shared().then(|| Freshness::start(store.clone()));
        let lists = Semaphore::new(LISTS.min(store.readers() - 1).max(1));
        let registry = Self {
            store,
            cache,
            watch_hub,
            liveness,
            clock,
            jobs,
            freshness,
            lists,
            last_probe: Default::default(),
            _replication: replication,
        };
        (registry, task)
    }

    /// Names this registry among others, on every start the same.
    pub fn id(&self) -> &str {
        self.store.registry_id()
    }

    /// A cluster as it is now, or `None` if there is none of that name.
    ///
    /// Where other servers write to the database as well, the database is asked whether what is in memory is still true.
    /// If it can't say, then what is in memory is the answer: nobody has a better one.
    pub async fn cluster(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let Some(freshness) = &self.freshness else { return self.cluster_from_memory(token).await };
        let present = match freshness.stamp(token).await {
            Ok(Some(stamp)) => self.cluster_since(token, stamp).await?,
            Ok(None) => {
                self.cache.remove(token);
                None
            }
            Err(unavailable) => {
                let known = self.latest_known(token).filter(|_| self.store.is_down());
                Some(known.ok_or(unavailable)?)
            }
        };
        // Whoever is about to wait from there is told of everything since, whichever of these it was.
        self.watch_hub.record_read(token, present.as_ref().map(|snapshot| &snapshot.cluster));
        Ok(present)
    }

    /// The latest state that anybody here has seen: what those who wait were told is not to be unsaid.
    fn latest_known(&self, token: &Token) -> Option<Arc<Snapshot>> {
        let cached = self.cache.get(token);
        match self.watch_hub.latest_state(token) {
            Some(DeliveredState::Cluster(seen))
                if cached.as_ref().is_none_or(|cached| cached.stamp().is_before(Stamp::of(&seen))) =>
            {
                Some(Arc::new(Snapshot::new(seen)))
            }
            _ => cached,
        }
    }

    async fn cluster_since(&self, token: &Token, stamp: Stamp) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let is_present = |snapshot: &Arc<Snapshot>| snapshot.stamp().is_no_older_than(stamp);
        // What is later than in the database is so because of a commit of this moment, or because the database has lost what
        // it had acknowledged. It is read anew in both cases.
        self.cache.remove_if(token, |snapshot| snapshot.stamp() != stamp);
        match self.cluster_from_memory(token).await? {
            Some(snapshot) if !is_present(&snapshot) => self.cluster_from_database(token).await,
            present => Ok(present),
        }
    }

    async fn cluster_from_memory(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        if let Some(snapshot) = self.cache.get(token) {
            return Ok(Some(snapshot));
        }
        let (store, cache, token) = (self.store.clone(), self.cache.clone(), token.clone());
        read_to_the_end(async move {
            let guard = match cache.get_value_or_guard_async(&token).await {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(guard) => guard,
            };
            let Some(cluster) = store.load(&token).await? else { return Ok(None) };
            let snapshot = Arc::new(Snapshot::new(Arc::new(cluster)));
            // A commit of meanwhile has put a later snapshot in the guard's place, and that one stays.
            let _ = guard.insert(snapshot.clone());
            Ok(Some(snapshot))
        })
        .await
    }

    /// Reads past what others are about to put into memory, which may be older.
    async fn cluster_from_database(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let Some(cluster) = self.store.load(token).await.map_err(unavailable)? else { return Ok(None) };
        let snapshot = Arc::new(Snapshot::new(Arc::new(cluster)));
        self.cache.insert(token.clone(), snapshot.clone());
        Ok(Some(snapshot))
    }

    /// Makes a cluster under a token that was drawn for it.
    pub async fn create(&self, token: Token, settings: Settings) -> Result<Committed, WriteError> {
        let named = token.clone();
        let decide = move |cluster: Option<&Cluster>, _: Option<&mut Liveness>, at| match cluster {
            None => Some(Cluster::create_with(named.clone(), &settings, at)),
            Some(_) => None,
        };
        // Whoever draws 128 bits that are there already is told to draw again.
        self.settle(token, true, false, Box::new(decide)).await?.ok_or(Unavailable.into())
    }

    /// Changes a cluster as `decide` says, which gets the present state and may be asked more than once.
    /// Returns what is on the disk then, or the reason for which `decide` refused.
    pub async fn update<R: Send + 'static>(
        &self,
        token: &Token,
        decide: impl Fn(Option<&Cluster>, UnixMillis) -> Result<Transition, R> + Send + 'static,
    ) -> Result<Result<Committed, R>, WriteError> {
        let decide = move |cluster: Option<&Cluster>, at| match decide(cluster, at) {
            Ok(transition) => (Some(transition), None),
            Err(reason) => (None, Some(reason)),
        };
        match self.decide(token, decide).await? {
            (Some(committed), _) => Ok(Ok(committed)),
            (None, reason) => Ok(Err(reason.expect("whoever refuses says why"))),
        }
    }

    /// Makes a decision on a cluster, with what changes by it and what else comes of it; `decide` may be asked more
    /// than once, and what the last answer was is returned once the change is on the disk.
    pub async fn decide<T: Send + 'static>(
        &self,
        token: &Token,
        decide: impl Fn(Option<&Cluster>, UnixMillis) -> (Option<Transition>, T) + Send + 'static,
    ) -> Result<(Option<Committed>, T), WriteError> {
        self.settle_with_outcome(token, false, move |cluster, _, at| decide(cluster, at)).await
    }

    /// The same for one that has to know who was heard of when, as the servers of the database have written it down; it
    /// gets nothing where there is no such cluster.
    async fn decide_with_liveness<T: Send + 'static>(
        &self,
        token: &Token,
        decide: impl Fn(Option<&Cluster>, Option<&mut Liveness>, UnixMillis) -> (Option<Transition>, T) + Send + 'static,
    ) -> Result<(Option<Committed>, T), WriteError> {
        self.settle_with_outcome(token, true, decide).await
    }

    async fn settle_with_outcome<T: Send + 'static>(
        &self,
        token: &Token,
        reads_liveness: bool,
        decide: impl Fn(Option<&Cluster>, Option<&mut Liveness>, UnixMillis) -> (Option<Transition>, T) + Send + 'static,
    ) -> Result<(Option<Committed>, T), WriteError> {
        let outcome = Arc::new(Mutex::new(None));
        let last = outcome.clone();
        let decide = move |cluster: Option<&Cluster>, liveness: Option<&mut Liveness>, at| {
            let (transition, outcome) = decide(cluster, liveness, at);
            *last.lock().expect("no holder panics") = Some(outcome);
            transition
        };
        let committed = self.settle(token.clone(), false, reads_liveness, Box::new(decide)).await?;
        let outcome = outcome.lock().expect("no holder panics").take();
        Ok((committed, outcome.expect("the committer asks before it answers")))
    }

    async fn settle(&self, token: Token, is_new_token: bool, reads_liveness: bool, decide: Decide) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { token, is_new_token, reads_liveness, decide, answer }).await.map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)?
    }

    /// The present moment, as all servers of the database count it.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// How large the database is.
    pub async fn database_size(&self) -> Result<DatabaseSize, Unavailable> {
        self.store.size().await.map_err(unavailable)
    }

    /// Tells of everything that happens to a cluster from now on, be it there yet or not.
    pub fn subscribe(&self, token: &Token) -> Subscription {
        let delivered = match self.cache.peek(token) {
            Some(snapshot) if self.freshness.is_none() => DeliveredState::Cluster(snapshot.cluster.clone()),
            _ => DeliveredState::Unknown,
        };
        self.watch_hub.subscribe(token, delivered)
    }

    /// Follows what happens to a cluster, be it there yet or not, from a revision on.
    pub fn follow(&self, token: &Token, from: Revision) -> Follower {
        Follower::new(token.clone(), self.subscribe(token), from)
    }

    /// A page of a cluster's events from a revision on, oldest first and without gaps. Empty: there
    /// are none so far. The first is later than `from`: older ones have been forgotten.
    pub async fn history(&self, token: &Token, from: Revision) -> Result<Vec<Arc<Event>>, Unavailable> {
        let (store, token) = (self.store.clone(), token.clone());
        read_to_the_end(async move { store.events(&token, from, HISTORY_PAGE).await }).await
    }

    /// A page of clusters, and where the next one begins.
    pub async fn list(
        &self,
        filter: ClusterFilter,
        limit: u32,
    ) -> Result<(Vec<ClusterSummary>, Option<Cursor>), Unavailable> {
        let _permit = self.lists.acquire().await.map_err(|_| Unavailable)?;
        self.store.list(&filter, limit).await.map_err(unavailable)
    }

    /// Tokens, a page of them, that were made before a moment and that nobody ever registered under.
    pub async fn unregistered(&self, before: UnixMillis) -> Result<Vec<Token>, Unavailable> {
        self.store.unregistered(before, HISTORY_PAGE).await.map_err(unavailable)
    }

    /// Whether the database can be written, as of a second ago at most: however many ask, they don't get
    /// into the way of those who write.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        const FRESH: Duration = Duration::from_secs(1);
        let mut last = self.last_probe.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < FRESH
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
}

/// Reads, whether or not somebody waits for it all the time. A stream whose client doesn't take what it is sent is not
/// looked after any more; it must not keep a connection to the database until then, or the place of a cluster that
/// others ask for.
async fn read_to_the_end<T: Send + 'static>(
    read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, Unavailable> {
    tokio::spawn(read).await.map_err(|_| Unavailable)?.map_err(unavailable)
}

fn unavailable(error: StoreError) -> Unavailable {
    // That the database is away is logged once.
    if matches!(error, StoreError::Down) {
        return Unavailable;
    }
    tracing::error!(%error, "the database could not be asked; clients are told to try again");
    Unavailable
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{
        Action, ClusterSize, Discovery, NodeState, PeerUrl, RegisterRefusal, Registration, Report, RunId,
    };
    use sqlx::ConnectOptions;
    use tempfile::TempDir;

    use super::*;
    use crate::store::DatabaseLimits;

    async fn registry() -> (TempDir, Arc<Registry>) {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("c.db").display());
        let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
        (dir, Arc::new(Registry::start(Arc::new(store)).await.0))
    }

    async fn register(registry: &Registry, token: &Token, n: u32) -> Result<Revision, RegisterRefusal> {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.1:{n}")).unwrap();
        let decide = move |cluster: Option<&Cluster>, at| {
            let cluster = cluster.expect("it was made before");
            cluster.register(n.to_string().parse().unwrap(), registration.clone(), Discovery::V2, Action::Create, at)
        };
        registry.update(token, decide).await.unwrap().map(|committed| committed.events[0].revision)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writes_at_the_same_time_follow_each_other() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        let writes = (1..=300).map(|n| {
            let (registry, token) = (registry.clone(), token.clone());
            tokio::spawn(async move { register(&registry, &token, n).await.unwrap().0 })
        });
        let mut revisions = Vec::new();
        for write in writes.collect::<Vec<_>>() {
            revisions.push(write.await.unwrap());
        }
        revisions.sort_unstable();
        assert_eq!(revisions, (2..=301).collect::<Vec<_>>());
        let from_memory = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
        assert_eq!(registry.store.load(&token).await.unwrap().as_ref(), Some(&*from_memory));
    }

    #[tokio::test]
    async fn of_two_that_want_one_name_at_once_one_is_refused() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        let take = |key: &'static str| {
            let registration = Registration::parse(&format!("infra0=http://{key}:2380")).unwrap();
            registry.update(&token, move |cluster, at| {
                cluster.unwrap().register(key.parse().unwrap(), registration.clone(), Discovery::V2, Action::Create, at)
            })
        };
        let (one, other) = tokio::join!(take("a"), take("b"));
        assert_eq!(usize::from(one.unwrap().is_ok()) + usize::from(other.unwrap().is_ok()), 1);
    }

    #[tokio::test]
    async fn what_somebody_else_has_changed_in_the_database_is_not_written_over() {
        let (dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("c.db"));
        let mut other = options.connect().await.unwrap();
        let behind_our_back = "update cluster set revision = 7, size = 5 where token = 'one'";
        sqlx::query(behind_our_back).execute(&mut other).await.unwrap();

        assert_eq!(register(&registry, &token, 1).await.unwrap(), Revision(8));
        let cluster = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
        assert_eq!((cluster.size.get(), cluster.members().count()), (5, 1));
    }

    async fn delete_and_create(registry: &Registry, token: &Token) -> Result<Result<Committed, ()>, WriteError> {
        let delete = registry.update(token, |cluster, at| cluster.map(|cluster| cluster.delete(at)).ok_or(()));
        let named = token.clone();
        let create = registry.update(token, move |cluster, at| match cluster {
            None => Ok(Cluster::create(named.clone(), ClusterSize::DEFAULT, Action::Set, at)),
            Some(_) => Err(()),
        });
        let (deleted, created) = tokio::join!(delete, create);
        deleted.unwrap().unwrap();
        created
    }

    #[tokio::test]
    async fn a_token_that_nobody_registered_under_can_be_used_anew_right_after_its_deletion() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        assert_eq!(delete_and_create(&registry, &token).await.unwrap().unwrap().events[0].revision, Revision::FIRST);
        let cluster = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
        assert_eq!(registry.store.load(&token).await.unwrap().as_ref(), Some(&*cluster));
    }

    #[tokio::test]
    async fn a_token_that_a_member_registered_under_names_no_second_cluster() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        register(&registry, &token, 1).await.unwrap();
        assert_eq!(delete_and_create(&registry, &token).await.unwrap_err(), WriteError::TokenUsedUp);
        assert!(registry.cluster(&token).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn who_only_asks_about_a_cluster_leaves_no_sightings_behind() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        registry.create(token.clone(), Settings::default()).await.unwrap();
        register(&registry, &token, 1).await.unwrap();
        let report = Report {
            name: "a".parse().unwrap(),
            run: RunId::unnamed(),
            sequence: 0,
            peer_urls: vec![PeerUrl::parse("http://10.0.0.1:2380").unwrap()],
            client_urls: Vec::new(),
            state: NodeState::Empty,
            leftover: false,
            view: None,
            leaving: false,
            once: false,
            strategy: None,
            size: None,
        };
        assert!(registry.last_seen(&token).await.unwrap().is_empty());
        assert!(registry.check_in_dry(&token, &report).await.unwrap().is_some());
        assert!(registry.liveness.get(&token).is_none());
        registry.check_in(&token, report).await.unwrap();
        assert!(registry.liveness.get(&token).is_some());
    }

    #[tokio::test]
    async fn lists_wait_for_each_other_and_nobody_waits_for_lists() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        let _lists = registry.lists.acquire_many(LISTS as u32).await.unwrap();
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, registry.list(ClusterFilter::default(), 1)).await.is_err());
        assert!(registry.cluster(&token).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn who_subscribes_hears_of_what_is_on_the_disk() {
        let (_dir, registry) = registry().await;
        let token: Token = "one".parse().unwrap();
        let mut subscription = registry.subscribe(&token);
        let created = registry.create(token.clone(), Settings::default()).await.unwrap();
        let Delivery::Event(heard) = subscription.next().await else { panic!("nothing was missed") };
        assert_eq!(created.events, [heard]);
        assert_eq!(registry.history(&token, Revision::FIRST).await.unwrap(), created.events);
    }
}
