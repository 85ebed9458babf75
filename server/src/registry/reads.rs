//! Reads of clusters and their events.

use std::{sync::Arc, time::Duration};

use convene_lifecycle::{Event, PublicId, Revision, Token, UnixMillis};

use super::{Follower, Registry, Snapshot, Subscription, Unavailable, unavailable, watch_hub::DeliveredState};
use crate::{
    metrics::WaitKind,
    store::{Abandoned, ClusterFilter, ClusterSummary, Cursor, Stamp},
};

/// The most events in a page of history. Each follower may hold as many in memory.
const HISTORY_PAGE: u32 = 64;

/// The most tokens in a page of [`Registry::abandoned`].
const ABANDONED_PAGE: u32 = 512;

/// What a reader demands of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The database confirms it: it has all that any server has acknowledged.
    Confirmed,
    /// The latest one that this server knows will do.
    LatestKnown,
}

/// A cluster in the latest state that a server knows.
#[derive(Clone, Debug)]
pub struct KnownCluster {
    /// The state.
    pub snapshot: Arc<Snapshot>,
    /// How long ago the database last confirmed the state, if the database is down. Other servers may have changed the cluster since.
    pub stale: Option<Duration>,
}

impl Registry {
    /// A cluster in its present state; `None` if there is no such cluster. Fails if the database is down, except on a database of
    /// this server alone.
    pub async fn cluster(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        Ok(self.read(token, Consistency::Confirmed).await?.map(|known| known.snapshot))
    }

    /// A cluster as [`Registry::cluster`] or as [`Registry::latest_known`] returns it.
    pub async fn read(&self, token: &Token, consistency: Consistency) -> Result<Option<KnownCluster>, Unavailable> {
        match (self.latest_known(token).await?, consistency) {
            (Some(KnownCluster { stale: Some(_), .. }), Consistency::Confirmed) => Err(Unavailable),
            (known, _) => Ok(known),
        }
    }

    /// A cluster in its present state; `None` if there is no such cluster.
    ///
    /// On a shared database the database says whether the cached state is the present one. If the database is down, or accepts no
    /// further connections, the cached state is the answer. Discovery goes on with that: members that have registered stay the members.
    pub async fn latest_known(&self, token: &Token) -> Result<Option<KnownCluster>, Unavailable> {
        let Some(freshness) = &self.freshness else {
            let present = self.cluster_from_cache(token).await?;
            return Ok(present.map(|snapshot| KnownCluster { snapshot, stale: None }));
        };
        let (present, stale) = match freshness.read(token).await {
            Ok(Some(stamp)) => (self.cluster_at_least(token, stamp).await?, None),
            Ok(None) => {
                self.cache.remove(token);
                (None, None)
            }
            Err(unavailable) => {
                let known = self.latest_in_memory(token).filter(|_| self.store.is_away()).ok_or(unavailable)?;
                let stale = known.age().max(self.store.down_for().unwrap_or_default());
                (Some(known), Some(stale))
            }
        };
        // The caller may be about to wait for changes from this state on.
        let is_outdated = !self.watch_hub.record_read(token, present.as_ref());
        Ok(present.filter(|_| !is_outdated).map(|snapshot| KnownCluster { snapshot, stale }))
    }

    /// The latest state in memory. A watch may have delivered a later one than is cached, and a read must not go back
    /// behind that.
    fn latest_in_memory(&self, token: &Token) -> Option<Arc<Snapshot>> {
        let cached = self.cache.get(token);
        match self.watch_hub.latest_state(token) {
            Some(DeliveredState::Cluster(latest))
                if cached.as_ref().is_none_or(|cached| cached.stamp().is_before(latest.stamp())) =>
            {
                Some(latest)
            }
            _ => cached,
        }
    }

    /// A cluster in the state of a stamp, or in a later one.
    async fn cluster_at_least(&self, token: &Token, stamp: Stamp) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let is_current = |snapshot: &Arc<Snapshot>| snapshot.stamp().is_no_older_than(stamp);
        // A cached state that is later than the stamp was committed just now, or the database has lost it, for example in a
        // failover. In both cases the database decides.
        self.cache.remove_if(token, |snapshot| snapshot.stamp() != stamp);
        match self.cluster_from_cache(token).await? {
            Some(snapshot) if !is_current(&snapshot) => self.cluster_from_database(token).await,
            current => {
                current.iter().for_each(|snapshot| snapshot.record_confirmed());
                Ok(current)
            }
        }
    }

    /// The cached state; reads it into the cache if it is missing.
    async fn cluster_from_cache(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        if let Some(snapshot) = self.cache.get(token) {
            return Ok(Some(snapshot));
        }
        let (loads, cache, token) = (self.loads.clone(), self.cache.clone(), token.clone());
        run_to_completion(async move {
            let guard = match cache.get_value_or_guard_async(&token).await {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(guard) => guard,
            };
            let Some(snapshot) = loads.read(&token).await? else { return Ok(None) };
            // This fails if a commit has cached a later state in the meantime, and that one stays.
            let _ = guard.insert(snapshot.clone());
            Ok(Some(snapshot))
        })
        .await
    }

    /// Reads the state from the database even if somebody else is just reading it into the cache: theirs may be older.
    async fn cluster_from_database(&self, token: &Token) -> Result<Option<Arc<Snapshot>>, Unavailable> {
        let Some(snapshot) = self.loads.read(token).await? else { return Ok(None) };
        self.cache.insert(token.clone(), snapshot.clone());
        Ok(Some(snapshot))
    }

    /// The token of the cluster with a public ID; `None` if there is no such cluster.
    pub async fn token_of(&self, id: PublicId) -> Result<Option<Token>, Unavailable> {
        if let Some(token) = self.tokens_by_id.get(&id) {
            // The cluster may be gone, and another one may have its token.
            let present = self.latest_known(&token).await?.filter(|known| known.snapshot.cluster.id == id);
            return Ok(present.map(|_| token));
        }
        let token = self.store.token_of(id).await.map_err(unavailable)?;
        if let Some(token) = &token {
            self.tokens_by_id.insert(id, token.clone());
        }
        Ok(token)
    }

    /// How many clients wait for the events of a cluster.
    pub fn waits_of(&self, token: &Token) -> usize {
        self.watch_hub.subscribers(token)
    }

    /// Subscribes to the events of a cluster from now on. The cluster need not exist yet.
    pub fn subscribe(&self, token: &Token, kind: WaitKind) -> Subscription {
        let delivered = match self.cache.peek(token) {
            Some(snapshot) if self.freshness.is_none() => DeliveredState::Cluster(snapshot),
            _ => DeliveredState::Unknown,
        };
        self.watch_hub.subscribe(token, delivered).counted(self.metrics.wait(kind))
    }

    /// Follows the events of a cluster from a revision on. The cluster need not exist yet.
    pub fn follow(&self, token: &Token, from: Revision, kind: WaitKind) -> Follower {
        Follower::new(token.clone(), self.subscribe(token, kind), from)
    }

    /// A page of a cluster's events from a revision on, oldest first, without gaps; empty if there are none yet. If the first
    /// event is later than `from`, the history before it has been compacted.
    pub async fn history(&self, token: &Token, from: Revision) -> Result<Vec<Arc<Event>>, Unavailable> {
        // The cluster is read first, and the page ends with that state: a deletion by another server is made from the latest
        // state that was read, and must be later than all events that a client has received.
        let Some(snapshot) = self.cluster(token).await? else { return Ok(Vec::new()) };
        let (store, token) = (self.store.clone(), token.clone());
        let mut page =
            run_to_completion(async move { store.events(&token, from, HISTORY_PAGE).await.map_err(unavailable) })
                .await?;
        page.retain(|event| event.revision <= snapshot.cluster.revision);
        Ok(page)
    }

    /// A page of clusters, and the start of the next page.
    pub async fn list(
        &self,
        filter: ClusterFilter,
        limit: u32,
    ) -> Result<(Vec<ClusterSummary>, Option<Cursor>), Unavailable> {
        let _permit = self.lists.acquire().await.map_err(|_| Unavailable)?;
        self.store.list(&filter, limit).await.map_err(unavailable)
    }

    /// A page of clusters that were abandoned before a time, with the revisions at which they were found.
    pub async fn abandoned(
        &self,
        abandoned: Abandoned,
        before: UnixMillis,
    ) -> Result<Vec<(Token, Revision)>, Unavailable> {
        self.store.abandoned(abandoned, before, ABANDONED_PAGE).await.map_err(unavailable)
    }
}

/// Runs a read in a task of its own. Otherwise a stream whose client does not read would stop being polled in the middle of
/// its read, and would hold a database connection, or the cache's guard that others wait for, until the client reads on.
async fn run_to_completion<T: Send + 'static>(
    read: impl Future<Output = Result<T, Unavailable>> + Send + 'static,
) -> Result<T, Unavailable> {
    tokio::spawn(read).await.map_err(|_| Unavailable)?
}
