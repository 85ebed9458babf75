//! The task that makes all writes.

mod blocked;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use convene_lifecycle::{Actor, Cluster, Event, PublicId, Token, Transition, UnixMillis};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use blocked::BlockedJobs;

use super::{
    Committed, Inputs, Needs, Snapshot, SnapshotCache, Unavailable, WriteError,
    clock::Clock,
    liveness::LivenessCache,
    quota::Quota,
    recent_writes::RecentWrites,
    replication::{Notifier, sync_clock},
    transact::Job,
    unavailable,
    watch_hub::WatchHub,
};
use crate::{
    audit,
    metrics::RegistryMetrics,
    store::{
        ClusterWrite, LivenessRecord, Locks, Stamp, Store, StoreError, Suspicion, Transaction, WriteId, draw_public_id,
    },
};

/// The most writes that share one commit.
const BATCH: usize = 128;

/// How often a batch is tried if its commit conflicts with other servers' commits.
const MAX_TRIES: usize = 10;

/// A commit that takes longer is confirmed by another one. An administrator who cancels the wait for a standby makes the database
/// report a success, with a warning that the driver does not pass on.
const SLOW_COMMIT: Duration = Duration::from_secs(1);

/// The pause before the committer connects to the database again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Decides writes one after another, and commits all that are waiting with one fsync (group commit).
///
/// The next batch gathers while the disk writes the present one, so batches grow with the load, and a single write does not
/// wait for others.
pub(super) struct Committer {
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<RegistryMetrics>,
    pub(super) clock: Arc<Clock>,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) watch_hub: Arc<WatchHub>,
    pub(super) liveness: Arc<LivenessCache>,
    pub(super) recent_writes: Arc<RecentWrites>,
    pub(super) quota: Arc<Quota>,
    /// Notifies the other servers of a shared database of each change; `None` if the database is not shared.
    pub(super) notifier: Option<Notifier>,
}

/// The clusters of a batch. A token that is missing has no cluster.
type PendingClusters = HashMap<Token, PendingCluster>;

/// A cluster from the start of a batch, when it is read, to the commit at the end.
#[derive(Default)]
struct PendingCluster {
    /// The state that was read; `None` if there was no cluster. The commit fails if the database has another state by then.
    base: Option<Stamp>,
    /// The cluster in that state.
    before: Option<Arc<Cluster>>,
    /// The cluster after the decisions so far; `None` if there is none.
    cluster: Option<Arc<Cluster>>,
    /// Whether the token belonged to a deleted cluster that had members.
    used_up: bool,
    /// Whether the stored cluster can't be read. The reason has been logged.
    corrupt: bool,
    /// The events of the decisions so far, oldest first.
    events: Vec<Arc<Event>>,
    /// Read for jobs with [`Needs::Liveness`] only.
    liveness: Option<PendingLiveness>,
}

struct PendingLiveness {
    /// As it was read; `None` if none is stored.
    stored: Option<LivenessRecord>,
    /// After the decisions so far.
    current: LivenessRecord,
}

type Decided = Result<Option<Committed>, WriteError>;

impl Committer {
    /// Commits batches until all senders of jobs are gone.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut blocked = BlockedJobs::new(self.store.limits().acquire_timeout);
        let mut waiting = Vec::with_capacity(BATCH);
        while !waiting.is_empty() || blocked.receive(&mut queue, &mut waiting, BATCH).await {
            let mut batch = blocked.take();
            batch.append(&mut waiting);
            waiting = self.commit_batch(batch, &mut blocked).await;
            blocked.give_up_late();
        }
    }

    /// Commits a batch and replies to its callers, except those of clusters that another session has locked. Returns the
    /// jobs that have to wait for the next batch.
    async fn commit_batch(&self, mut jobs: Vec<Job>, blocked: &mut BlockedJobs) -> Vec<Job> {
        let mut tries = 1;
        let deadline = Instant::now() + self.store.limits().acquire_timeout;
        let (results, left) = loop {
            let failure = match self.try_commit(&mut jobs, blocked).await {
                Ok(committed) => break committed,
                Err(StoreError::Conflict) if tries < MAX_TRIES => {
                    tries += 1;
                    self.prepare_retry(&mut jobs);
                    continue;
                }
                // Nothing was written.
                Err(error) if self.may_retry(&error, deadline) => {
                    tracing::warn!(%error, "lost the connection to the database; reconnecting");
                    self.prepare_retry(&mut jobs);
                    sleep(RETRY_PAUSE).await;
                    continue;
                }
                Err(error) => WriteError::from(unavailable(error)),
            };
            // A failed commit may have reached the disk.
            self.evict_from_cache(&jobs);
            break (jobs.iter().map(|_| Err(failure)).collect(), Vec::new());
        };
        for (job, result) in jobs.into_iter().zip(results) {
            if let Ok(Some(committed)) = &result {
                audit::log_changes(committed.id, committed.events.iter().map(Arc::as_ref));
            }
            job.write.reply(result);
        }
        left
    }

    /// Reads the clusters of a batch, decides its jobs, commits, and publishes the changes. Returns a result for each job.
    ///
    /// Moves the jobs of clusters that another session has locked to `blocked`. Stops before the first job whose cluster an
    /// earlier job has deleted, because the deletion must be committed first, and after the size of a batch; cuts off the jobs
    /// from there on, and returns them.
    async fn try_commit(
        &self,
        jobs: &mut Vec<Job>,
        blocked: &mut BlockedJobs,
    ) -> Result<(Vec<Decided>, Vec<Job>), StoreError> {
        self.store.confirm_commits().await?;
        if self.store.is_shared() && !self.clock.is_set() {
            // Other servers must not read times of this machine's clock.
            sync_clock(&self.store, &self.clock, &self.metrics).await?;
        }
        let mut transaction = self.store.begin().await?;
        let locks = self.lock(&mut transaction, jobs).await?;
        blocked.set_aside(jobs, &locks.busy);
        let mut pending = self.read(&mut transaction, &jobs[..jobs.len().min(BATCH)], &locks.stamps).await?;
        // Until everything is held, each cluster is before it changes.
        let must_hold = self.store.suspicion() != Suspicion::None;
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut().take(BATCH) {
            let cluster = pending.entry(job.token.clone()).or_default();
            if cluster.is_deleted() {
                break;
            }
            if must_hold {
                cluster.hold_founding(self.clock.now());
            }
            let decided = cluster.decide(job, self.clock.now(), &self.quota);
            if matches!(decided, Err(WriteError::Quota(_))) {
                self.metrics.record_quota_refusal();
            }
            results.push(decided);
        }
        let liveness = take_changed_liveness(&mut pending);
        let writes = into_writes(pending);
        self.write(transaction, &writes, &liveness).await?;
        self.publish(writes);
        let left = jobs.split_off(results.len());
        Ok((results, left))
    }

    async fn write(
        &self,
        mut transaction: Transaction<'_>,
        writes: &[ClusterWrite],
        liveness: &[(Token, LivenessRecord)],
    ) -> Result<(), StoreError> {
        if writes.is_empty() && liveness.is_empty() {
            return transaction.rollback().await;
        }
        if !writes.is_empty()
            && let Err(error) = transaction.write(writes, self.quota.retained_history()).await
        {
            if matches!(error, StoreError::Conflict) {
                transaction.rollback().await?;
            }
            return Err(error);
        }
        transaction.write_liveness(liveness).await?;
        if writes.is_empty() {
            // A check-in that is lost in a crash does no harm: the node checks in again.
            return transaction.commit_without_sync().await;
        }
        let begun = Instant::now();
        let lost = match transaction.commit().await {
            Err(error) if error.is_transient() => error,
            Ok(()) if begun.elapsed() >= SLOW_COMMIT => return self.wait_for_confirmation(writes).await.map(drop),
            result => return result,
        };
        match self.wait_for_confirmation(writes).await? {
            true => Ok(()),
            false => Err(lost),
        }
    }

    /// Finds out whether a commit reached the database although the connection broke, and waits until the database has
    /// confirmed it. A retry without that knowledge would decide on the result of its own write.
    async fn wait_for_confirmation(&self, writes: &[ClusterWrite]) -> Result<bool, StoreError> {
        let deadline = Instant::now() + self.store.limits().acquire_timeout;
        loop {
            match self.is_confirmed(writes).await {
                Err(error) if self.may_retry(&error, deadline) => sleep(RETRY_PAUSE).await,
                Err(error) => {
                    self.store.mark_unconfirmed();
                    return Err(StoreError::UnknownOutcome(error.to_string()));
                }
                found => return found,
            }
        }
    }

    async fn is_confirmed(&self, writes: &[ClusterWrite]) -> Result<bool, StoreError> {
        let is_committed = self.is_committed(writes).await?;
        if is_committed {
            self.store.confirm().await?;
        }
        Ok(is_committed)
    }

    /// Whether writes are in the database. One transaction has made all of them, so it is enough to look for one.
    async fn is_committed(&self, writes: &[ClusterWrite]) -> Result<bool, StoreError> {
        // A transaction that changes a cluster locks its row, so `lock` waits for a transaction that is still running.
        let write = writes.iter().find(|write| write.base.is_some()).or(writes.first());
        let Some(ClusterWrite { token, base, after, events, write_id, .. }) = write else { return Ok(true) };
        let mut transaction = self.store.begin().await?;
        let stamps = transaction.lock(std::slice::from_ref(token)).await?;
        let is_committed = match (after, events.last()) {
            (Some(_), Some(last)) => transaction.write_of(token, last.revision).await? == Some(Some(*write_id)),
            _ => stamps.get(token).map(|stamp| stamp.created_at) != base.map(|base| base.created_at),
        };
        transaction.rollback().await?;
        Ok(is_committed)
    }

    fn may_retry(&self, error: &StoreError, deadline: Instant) -> bool {
        self.store.may_retry(error) && Instant::now() + RETRY_PAUSE < deadline
    }

    /// Locks the clusters of a batch. A SQLite database has no other sessions, so there nothing is locked.
    async fn lock(&self, transaction: &mut Transaction<'_>, jobs: &[Job]) -> Result<Locks, StoreError> {
        match self.store.is_shared() {
            true => transaction.try_lock(&tokens_to_read(jobs)).await,
            false => Ok(Locks::default()),
        }
    }

    /// Reads the clusters of a batch. On a shared database they are locked and have these stamps.
    async fn read(
        &self,
        transaction: &mut Transaction<'_>,
        jobs: &[Job],
        stamps: &HashMap<Token, Stamp>,
    ) -> Result<PendingClusters, StoreError> {
        let tokens = tokens_to_read(jobs);
        let mut pending = self.read_from_memory(&tokens, stamps);
        let missing: Vec<Token> = tokens.into_iter().filter(|token| !pending.contains_key(token)).collect();
        let loaded = transaction.load_all(&missing).await?;
        for stored in loaded.clusters {
            pending.insert(stored.cluster.token.clone(), PendingCluster::on(&Snapshot::from(stored)));
        }
        for (token, error) in loaded.corrupt {
            unavailable(error);
            pending.insert(token, PendingCluster { corrupt: true, ..PendingCluster::default() });
        }
        for token in loaded.used_up {
            pending.insert(token, PendingCluster { used_up: true, ..PendingCluster::default() });
        }
        self.read_liveness(transaction, jobs, &mut pending).await?;
        Ok(pending)
    }

    /// The clusters whose present state is cached.
    fn read_from_memory(&self, tokens: &[Token], stamps: &HashMap<Token, Stamp>) -> PendingClusters {
        let is_shared = self.store.is_shared();
        let is_present =
            |snapshot: &Snapshot| !is_shared || self.is_present(snapshot, stamps.get(&snapshot.cluster.token));
        let present = tokens.iter().filter_map(|token| self.cache.get(token)).filter(|snapshot| is_present(snapshot));
        let pending = |snapshot: Arc<Snapshot>| (snapshot.cluster.token.clone(), PendingCluster::on(&snapshot));
        present.map(pending).collect()
    }

    /// Whether a cached state is the present one of a cluster that is locked.
    fn is_present(&self, snapshot: &Snapshot, present: Option<&Stamp>) -> bool {
        // What is cached was committed before the lock.
        if present.is_some_and(|present| present.lacks(snapshot.stamp())) {
            self.store.suspect_missing(snapshot.age());
        }
        present == Some(&snapshot.stamp())
    }

    async fn read_liveness(
        &self,
        transaction: &mut Transaction<'_>,
        jobs: &[Job],
        pending: &mut PendingClusters,
    ) -> Result<(), StoreError> {
        let tokens = distinct_tokens(jobs.iter().filter(|job| job.needs == Needs::Liveness));
        let now = self.clock.now();
        let mut stored = transaction.liveness(&tokens, now).await?;
        for token in tokens {
            let stored = stored.remove(&token);
            let pending = pending.entry(token).or_default();
            let Some(cluster) = &pending.cluster else { continue };
            let mut current = stored.clone().unwrap_or_else(|| LivenessRecord::new(now));
            current.resume(&cluster.policy, now);
            pending.liveness = Some(PendingLiveness { stored, current });
        }
        Ok(())
    }

    /// Makes committed changes visible to reads, watches and other servers.
    fn publish(&self, writes: Vec<ClusterWrite>) {
        if let Some(notifier) = &self.notifier {
            notifier.notify(writes.iter().map(|write| write.token.clone()));
        }
        for ClusterWrite { token, base, after, events, write_id, .. } in writes {
            if after.is_none() {
                self.quota.deleted(&token);
            }
            let protocol = after.as_ref().and_then(|cluster| cluster.protocol);
            self.metrics.record_events(protocol, events.iter().map(Arc::as_ref));
            let after = after.map(|after| Arc::new(Snapshot::new(after, Some(write_id))));
            match &after {
                Some(snapshot) => self.cache.insert(token.clone(), snapshot.clone()),
                None => {
                    self.cache.remove(&token);
                    self.liveness.evict(&token);
                }
            }
            match &self.notifier {
                None => self.watch_hub.publish(&token, &events, after.as_ref()),
                Some(notifier) => {
                    if let Some(snapshot) = &after {
                        self.recent_writes.record(token.clone(), snapshot.stamp());
                    }
                    if !self.watch_hub.publish_on(&token, base, &events, after.as_ref()) {
                        notifier.catch_up(token);
                    }
                }
            }
        }
    }

    fn prepare_retry(&self, jobs: &mut [Job]) {
        self.evict_from_cache(jobs);
        for job in jobs.iter_mut().filter(|job| job.needs == Needs::NewToken) {
            job.needs = Needs::Cluster;
        }
    }

    /// Makes the next read ask the database. On a shared database each read does so anyway, and if that database is down,
    /// the cache is the only answer there is.
    fn evict_from_cache(&self, jobs: &[Job]) {
        if self.store.is_shared() {
            return;
        }
        for job in jobs {
            self.cache.remove(&job.token);
        }
    }
}

/// The clusters that a batch needs.
fn tokens_to_read(jobs: &[Job]) -> Vec<Token> {
    distinct_tokens(jobs.iter().filter(|job| job.needs != Needs::NewToken))
}

fn distinct_tokens<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<Token> {
    let tokens: HashSet<&Token> = jobs.map(|job| &job.token).collect();
    tokens.into_iter().cloned().collect()
}

/// The liveness of the clusters that exist, if the decisions have changed it.
fn take_changed_liveness(pending: &mut PendingClusters) -> Vec<(Token, LivenessRecord)> {
    let changed = |(token, pending): (&Token, &mut PendingCluster)| {
        let PendingLiveness { stored, current } = pending.liveness.take()?;
        (pending.cluster.is_some() && stored.as_ref() != Some(&current)).then(|| (token.clone(), current))
    };
    pending.iter_mut().filter_map(changed).collect()
}

fn into_writes(pending: PendingClusters) -> Vec<ClusterWrite> {
    let changed = pending.into_iter().filter(|(_, pending)| !pending.events.is_empty());
    let write = |(token, pending): (Token, PendingCluster)| ClusterWrite {
        token,
        base: pending.base,
        before: pending.before,
        after: pending.cluster,
        events: pending.events,
        write_id: WriteId::draw(),
    };
    changed.map(write).collect()
}

impl PendingCluster {
    fn on(snapshot: &Snapshot) -> Self {
        let cluster = Some(snapshot.cluster.clone());
        Self { base: Some(snapshot.stamp()), before: cluster.clone(), cluster, ..Self::default() }
    }

    fn is_deleted(&self) -> bool {
        self.cluster.is_none() && !self.events.is_empty()
    }

    /// Holds the founding of the cluster, because the database may have lost writes.
    fn hold_founding(&mut self, now: UnixMillis) {
        let Some(held) = self.cluster.as_ref().and_then(|cluster| cluster.hold_after_going_back(now)) else { return };
        self.cluster = held.after.map(Arc::new);
        let actor = Some(Actor::server());
        self.events.extend(held.events.into_iter().map(|event| Arc::new(Event { actor: actor.clone(), ..event })));
    }

    fn decide(&mut self, job: &mut Job, now: UnixMillis, quota: &Quota) -> Decided {
        if self.corrupt {
            return Err(Unavailable.into());
        }
        let liveness = self.liveness.as_mut().map(|liveness| &mut liveness.current);
        let decided = job.write.decide(Inputs { cluster: self.cluster.as_deref(), liveness, now });
        let Some(Transition { after, events }) = decided else { return Ok(None) };
        if self.used_up {
            return Err(WriteError::TokenUsedUp);
        }
        quota.check(self.cluster.as_deref(), after.as_ref(), &events)?;
        quota.count(self.cluster.is_none(), &events);
        let actor = Some(job.actor.clone());
        let events = events.into_iter().map(|event| Arc::new(Event { actor: actor.clone(), ..event }));
        let events: Vec<_> = events.collect();
        // A new cluster gets its public name here, whichever protocol creates it.
        let after = after.map(|after| match self.cluster {
            None => Cluster { id: draw_public_id(after.created_at), ..after },
            Some(_) => after,
        });
        let id = after.as_ref().or(self.cluster.as_deref()).map_or(PublicId::UNASSIGNED, |cluster| cluster.id);
        self.cluster = after.map(Arc::new);
        self.events.extend(events.iter().cloned());
        Ok(Some(Committed { id, after: self.cluster.clone(), events }))
    }
}
