//! The one registry that every face is a view of.
//!
//! Reads are answered from memory where they can be. Writes are decided one after another by the
//! [`committer`], on the present state, and acknowledged once they are on the disk. Whoever waits is
//! told of each event after that.

mod committer;
mod snapshot;
mod topics;

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use convene_lifecycle::{Action, Cluster, ClusterSize, Event, Revision, Token, Transition, UnixMillis};
use quick_cache::sync::Cache;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::store::{Store, StoreError};
use committer::{Answer, Committer, Decide, Job};
use snapshot::SnapshotWeight;
use topics::Topics;

pub use snapshot::Snapshot;
pub use topics::{Heard, Subscription};

/// How many bytes of clusters are kept in memory, roughly; the others are read from the database
/// when they are asked for.
const CACHE_BYTES: u64 = 64 << 20;

/// About how many clusters that is; only sizes the cache's tables.
const CACHE_CLUSTERS: usize = 50_000;

/// How many writes may wait for the committer before further ones wait for a place in line.
const QUEUE: usize = 4096;

/// The most events that one look into history returns.
const HISTORY_PAGE: u32 = 256;

type SnapshotCache = Cache<Token, Arc<Snapshot>, SnapshotWeight>;

/// The clusters, shared by all that serve them.
pub struct Registry {
    store: Arc<Store>,
    cache: Arc<SnapshotCache>,
    topics: Arc<Topics>,
    jobs: mpsc::Sender<Job>,
}

/// The registry can't answer now. What it is has been logged; those who asked get no details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the registry's database is not available; nothing was changed, try again")]
pub struct Unavailable;

impl Registry {
    /// A registry on a store, and the task that writes for it. The task ends when the registry is
    /// dropped; should it end before, then nothing can be written any more.
    pub fn start(store: Arc<Store>) -> (Self, JoinHandle<()>) {
        let cache = Arc::new(Cache::with_weighter(CACHE_CLUSTERS, CACHE_BYTES, SnapshotWeight));
        let topics = Arc::new(Topics::default());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let committer = Committer::new(store.clone(), cache.clone(), topics.clone());
        let task = tokio::spawn(committer.run(queue));
        (Self { store, cache, topics, jobs }, task)
    }

    /// Names this registry among others, on every start the same.
    pub fn id(&self) -> &str {
        self.store.registry_id()
    }

    /// A cluster as it is now, or `None` if there is none of that name.
    pub async fn cluster(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let guard = match self.cache.get_value_or_guard_async(token).await {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(guard) => guard,
        };
        let Some(cluster) = self.store.load(token).await.map_err(unavailable)? else { return Ok(None) };
        let snapshot = Arc::new(Snapshot::new(Arc::new(cluster)));
        // A commit of meanwhile has put a later snapshot in the guard's place, and that one stays.
        let _ = guard.insert(snapshot.clone());
        Ok(Some(snapshot))
    }

    /// Makes a cluster under a token that was drawn for it.
    pub async fn create(&self, token: Token, size: ClusterSize) -> Result<Arc<Event>, Unavailable> {
        let named = token.clone();
        let decide = move |_: Option<&Cluster>, at| Some(Cluster::create(named.clone(), size, Action::Create, at));
        // It is not refused, so that there always is an event.
        self.settle(token, true, Box::new(decide)).await?.ok_or(Unavailable)
    }

    /// Changes a cluster as `decide` says, which gets the present state and may be asked more than once.
    /// Returns its event once the change is on the disk, or the reason for which `decide` refused.
    pub async fn update<R: Send + 'static>(
        &self,
        token: &Token,
        decide: impl Fn(Option<&Cluster>, UnixMillis) -> Result<Transition, R> + Send + 'static,
    ) -> Result<Result<Arc<Event>, R>, Unavailable> {
        let refusal = Arc::new(Mutex::new(None));
        let refused = refusal.clone();
        let decide = move |cluster: Option<&Cluster>, at| {
            decide(cluster, at).map_err(|reason| *refused.lock().expect("no holder panics") = Some(reason)).ok()
        };
        match self.settle(token.clone(), false, Box::new(decide)).await? {
            Some(event) => Ok(Ok(event)),
            None => Ok(Err(refusal.lock().expect("no holder panics").take().expect("whoever refuses says why"))),
        }
    }

    async fn settle(&self, token: Token, fresh: bool, decide: Decide) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { token, fresh, decide, answer }).await.map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)?
    }

    /// Tells of everything that happens to a cluster from now on, be it there yet or not.
    pub fn subscribe(&self, token: &Token) -> Subscription {
        self.topics.subscribe(token)
    }

    /// A page of a cluster's events from a revision on, oldest first and without gaps. Empty: there
    /// are none so far. The first is later than `from`: older ones have been forgotten.
    pub async fn history(&self, token: &Token, from: Revision) -> Result<Vec<Arc<Event>>, Unavailable> {
        self.store.events(token, from, HISTORY_PAGE).await.map_err(unavailable)
    }

    /// Tokens, a page of them, that were made before a moment and that nobody ever registered under.
    pub async fn unregistered(&self, before: UnixMillis) -> Result<Vec<Token>, Unavailable> {
        self.store.unregistered(before, HISTORY_PAGE).await.map_err(unavailable)
    }

    /// Whether the database can be written.
    pub async fn probe(&self) -> Result<(), Unavailable> {
        if self.jobs.is_closed() {
            return Err(Unavailable);
        }
        self.store.probe().await.map_err(unavailable)
    }
}

/// The present moment by this machine's clock.
pub fn now() -> UnixMillis {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

fn unavailable(error: StoreError) -> Unavailable {
    tracing::error!(%error, "the database did not answer; clients are told to try again");
    Unavailable
}
