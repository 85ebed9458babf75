use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};

use convene_lifecycle::{Cluster, Event, Liveness, Token, Transition, UnixMillis};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    Snapshot, SnapshotCache, Unavailable, WriteError, clock::Clock, liveness::LivenessCache, replication::Notifier,
    unavailable, watch_hub::WatchHub,
};
use crate::store::{Stamp, Store, StoreError, Transaction, Write};

/// The most writes that share one commit.
const BATCH: usize = 128;

/// How often a batch is decided anew because another server has made one of its clusters meanwhile.
const TRIES: usize = 10;

/// How long to wait before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// Decides writes one after another and commits as many as are waiting with one fsync.
///
/// While one batch is on its way to the disk the next one gathers, so batches grow with the load,
/// and a lone write waits for nobody.
pub(super) struct Committer {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) watch_hub: Arc<WatchHub>,
    pub(super) liveness: Arc<LivenessCache>,
    /// Tells other servers of the database what has changed; `None` where there are none.
    pub(super) notifier: Option<Notifier>,
}

/// A write that waits for its turn.
pub(super) struct Job {
    pub(super) token: Token,
    /// Whether the token was drawn for this write, so that looking for it would be in vain. Should it be
    /// there all the same, the commit finds out.
    pub(super) is_new_token: bool,
    /// Whether it has to know who was heard of when, as the servers of a database have written it down.
    pub(super) reads_liveness: bool,
    pub(super) decide: Decide,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What to do to a cluster as it is at a moment; `None`: nothing, for a reason that the closure keeps. Those who listen
/// get who was heard of, and may take note of somebody.
pub(super) type Decide =
    Box<dyn FnMut(Option<&Cluster>, Option<&mut Liveness>, UnixMillis) -> Option<Transition> + Send>;

/// What is on the disk now, or `None` where nothing was to be written.
pub(super) type Answer = Result<Option<Committed>, WriteError>;

/// A change that is on the disk.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The cluster right after it; `None` means that it was deleted.
    pub after: Option<Arc<Cluster>>,
    /// What happened; at least one event.
    pub events: Vec<Arc<Event>>,
}

/// The clusters that a batch is about, each with what has been decided so far.
type PendingClusters = HashMap<Token, PendingCluster>;

#[derive(Default)]
struct PendingCluster {
    base: Option<Stamp>,
    cluster: Option<Arc<Cluster>>,
    /// Whether the token had a cluster that was deleted after members had registered.
    used_up: bool,
    /// Whether what is stored can't be read, which has been logged.
    corrupt: bool,
    events: Vec<Arc<Event>>,
    /// Who was heard of, if somebody has asked: as it was written down, and as it is by now.
    listened: Option<(Option<Liveness>, Liveness)>,
}

impl Committer {
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while !waiting.is_empty() || queue.recv_many(&mut waiting, BATCH).await > 0 {
            let batch = mem::take(&mut waiting);
            waiting = self.commit_batch(batch).await;
        }
    }

    /// Settles a batch, or its beginning: returns the jobs that have to wait for the next one.
    async fn commit_batch(&self, mut jobs: Vec<Job>) -> Vec<Job> {
        let mut tries = 1;
        let deadline = Instant::now() + self.store.limits().acquire_timeout;
        let (answers, left) = loop {
            let failed = match self.try_commit(&mut jobs).await {
                Ok(settled) => break settled,
                Err(StoreError::Conflict) if tries < TRIES => {
                    tries += 1;
                    self.prepare_retry(&mut jobs);
                    continue;
                }
                // Nothing was written.
                Err(error) if error.is_transient() && !self.store.is_down() && Instant::now() + PAUSE < deadline => {
                    tracing::warn!(%error, "the connection to the database is lost; connecting again");
                    self.prepare_retry(&mut jobs);
                    sleep(PAUSE).await;
                    continue;
                }
                Err(error) => WriteError::from(unavailable(error)),
            };
            // Whether a failed commit reached the disk is not known.
            self.evict_from_cache(&jobs);
            break (jobs.iter().map(|_| Err(failed)).collect(), Vec::new());
        };
        for (job, answer) in jobs.into_iter().zip(answers) {
            // It fails if the client has gone meanwhile; what it asked for is done all the same.
            let _ = job.answer.send(answer);
        }
        left
    }

    /// Decides the jobs up to the first whose cluster was deleted by one before it, because the deletion has to
    /// reach the disk first; the jobs from there on are cut off and returned.
    async fn try_commit(&self, jobs: &mut Vec<Job>) -> Result<(Vec<Answer>, Vec<Job>), StoreError> {
        let mut transaction = self.store.begin().await?;
        let mut pending = self.read(&mut transaction, jobs).await?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut() {
            let pending = pending.entry(job.token.clone()).or_default();
            if pending.is_deleted() {
                break;
            }
            answers.push(pending.decide(job, self.clock.now()));
        }
        let listened = take_changed_liveness(&mut pending);
        let writes = into_writes(pending);
        self.write(transaction, &writes, &listened).await?;
        self.publish(writes);
        let left = jobs.split_off(answers.len());
        Ok((answers, left))
    }

    async fn write(
        &self,
        mut transaction: Transaction<'_>,
        writes: &[Write],
        listened: &[(Token, Liveness)],
    ) -> Result<(), StoreError> {
        if writes.is_empty() && listened.is_empty() {
            return transaction.rollback().await;
        }
        if !writes.is_empty()
            && let Err(error) = transaction.write(writes).await
        {
            if matches!(error, StoreError::Conflict) {
                transaction.rollback().await?;
            }
            return Err(error);
        }
        transaction.write_listened(listened).await?;
        if writes.is_empty() {
            return transaction.commit_without_sync().await;
        }
        match transaction.commit().await {
            Err(error) if error.is_transient() => match self.wait_for_commit_outcome(writes).await? {
                true => Ok(()),
                false => Err(error),
            },
            committed => committed,
        }
    }

    /// Tries to find out for as long as one waits for a database: who decided anew without knowing would meet its own write.
    async fn wait_for_commit_outcome(&self, writes: &[Write]) -> Result<bool, StoreError> {
        let deadline = Instant::now() + self.store.limits().acquire_timeout;
        loop {
            match self.is_committed(writes).await {
                Err(error) if error.is_transient() && !self.store.is_down() && Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(StoreError::Unknown(error.to_string())),
                found => return found,
            }
        }
    }

    /// Whether changes are in the database after all, although nobody said so. All of them are if one is.
    async fn is_committed(&self, writes: &[Write]) -> Result<bool, StoreError> {
        // One that changes a cluster which was there has its row locked until it ends, so that this waits for it.
        let write = writes.iter().find(|write| write.base.is_some()).or(writes.first());
        let Some(Write { token, base, after, events }) = write else { return Ok(true) };
        let mut transaction = self.store.begin().await?;
        let stamps = transaction.lock(std::slice::from_ref(token)).await?;
        let is_committed = match (after, events.last()) {
            (Some(_), Some(last)) => transaction.events(token, last.revision, 1).await?.first() == Some(last),
            _ => stamps.get(token).map(|stamp| stamp.created_at) != base.map(|base| base.created_at),
        };
        transaction.rollback().await?;
        Ok(is_committed)
    }

    /// PendingClusters of the clusters that a batch is about. What has none does not exist.
    async fn read(&self, transaction: &mut Transaction<'_>, jobs: &[Job]) -> Result<PendingClusters, StoreError> {
        let tokens: HashSet<&Token> = jobs.iter().filter(|job| !job.is_new_token).map(|job| &job.token).collect();
        let tokens: Vec<Token> = tokens.into_iter().cloned().collect();
        let mut pending = self.read_from_memory(transaction, &tokens).await?;
        let others: Vec<Token> = tokens.into_iter().filter(|token| !pending.contains_key(token)).collect();
        let loaded = transaction.load_all(&others).await?;
        for cluster in loaded.clusters {
            pending.insert(cluster.token.clone(), PendingCluster::on(Arc::new(cluster)));
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

    /// PendingClusters of those clusters that are in memory as they are now.
    async fn read_from_memory(
        &self,
        transaction: &mut Transaction<'_>,
        tokens: &[Token],
    ) -> Result<PendingClusters, StoreError> {
        let stamps = if self.store.is_shared() { Some(transaction.lock(tokens).await?) } else { None };
        let is_present = |snapshot: &Snapshot| {
            stamps.as_ref().is_none_or(|stamps| stamps.get(&snapshot.cluster.token) == Some(&snapshot.stamp()))
        };
        let present = tokens.iter().filter_map(|token| self.cache.get(token)).filter(|snapshot| is_present(snapshot));
        Ok(present
            .map(|snapshot| (snapshot.cluster.token.clone(), PendingCluster::on(snapshot.cluster.clone())))
            .collect())
    }

    /// Finds out who was heard of in clusters whose jobs want to know.
    async fn read_liveness(
        &self,
        transaction: &mut Transaction<'_>,
        jobs: &[Job],
        pending: &mut PendingClusters,
    ) -> Result<(), StoreError> {
        let tokens: HashSet<&Token> = jobs.iter().filter(|job| job.reads_liveness).map(|job| &job.token).collect();
        let tokens: Vec<Token> = tokens.into_iter().cloned().collect();
        let mut listened = transaction.listened(&tokens).await?;
        for token in tokens {
            let written = listened.remove(&token);
            let pending = pending.entry(token).or_default();
            let Some(cluster) = &pending.cluster else { continue };
            let now = self.clock.now();
            let mut present = written.clone().unwrap_or_else(|| Liveness::new(now));
            present.resume(&cluster.policy, now);
            pending.listened = Some((written, present));
        }
        Ok(())
    }

    fn publish(&self, writes: Vec<Write>) {
        if let Some(notifier) = &self.notifier {
            notifier.notify(writes.iter().map(|write| write.token.clone()));
        }
        for Write { token, after, events, .. } in writes {
            match &after {
                Some(cluster) => self.cache.insert(token.clone(), Arc::new(Snapshot::new(cluster.clone()))),
                None => {
                    self.cache.remove(&token);
                    self.liveness.evict(&token);
                }
            }
            self.watch_hub.publish(&token, &events, after.as_ref());
        }
    }

    fn prepare_retry(&self, jobs: &mut [Job]) {
        self.evict_from_cache(jobs);
        jobs.iter_mut().for_each(|job| job.is_new_token = false);
    }

    /// Has the database asked next time what it holds. Where others write to it as well, it always is; and while it is away,
    /// what is in memory is all that there is.
    fn evict_from_cache(&self, jobs: &[Job]) {
        if self.store.is_shared() {
            return;
        }
        for job in jobs {
            self.cache.remove(&job.token);
        }
    }
}

/// Who was heard of by now, where that is new.
fn take_changed_liveness(pending: &mut PendingClusters) -> Vec<(Token, Liveness)> {
    let new = |(token, pending): (&Token, &mut PendingCluster)| {
        let (written, present) = pending.listened.take()?;
        (pending.cluster.is_some() && written.as_ref() != Some(&present)).then(|| (token.clone(), present))
    };
    pending.iter_mut().filter_map(new).collect()
}

fn into_writes(pending: PendingClusters) -> Vec<Write> {
    let changed = pending.into_iter().filter(|(_, pending)| !pending.events.is_empty());
    changed
        .map(|(token, pending)| Write { token, base: pending.base, after: pending.cluster, events: pending.events })
        .collect()
}

impl PendingCluster {
    fn on(cluster: Arc<Cluster>) -> Self {
        Self { base: Some(Stamp::of(&cluster)), cluster: Some(cluster), ..Self::default() }
    }

    fn is_deleted(&self) -> bool {
        self.cluster.is_none() && !self.events.is_empty()
    }

    fn decide(&mut self, job: &mut Job, now: UnixMillis) -> Answer {
        if self.corrupt {
            return Err(Unavailable.into());
        }
        let listened = self.listened.as_mut().map(|(_, present)| present);
        let decided = (job.decide)(self.cluster.as_deref(), listened, now);
        let Some(Transition { after, events }) = decided else { return Ok(None) };
        if self.used_up {
            return Err(WriteError::TokenUsedUp);
        }
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        self.cluster = after.map(Arc::new);
        self.events.extend(events.iter().cloned());
        Ok(Some(Committed { after: self.cluster.clone(), events }))
    }
}
