use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use convene_lifecycle::{Cluster, Event, Revision, Token, Transition, UnixMillis};
use tokio::sync::{mpsc, oneshot};

use super::{
    NotWritten, Snapshot, SnapshotCache, Unavailable, now, sightings::SightingsOfAll, topics::Topics, unavailable,
};
use crate::store::{Store, StoreError, Write};

/// The most writes that share one commit.
const BATCH: usize = 128;

/// How often a batch is decided anew because another server changed one of its clusters meanwhile.
const TRIES: usize = 10;

/// Decides writes one after another and commits as many as are waiting with one fsync.
///
/// While one batch is on its way to the disk the next one gathers, so batches grow with the load,
/// and a lone write waits for nobody.
pub(super) struct Committer {
    store: Arc<Store>,
    cache: Arc<SnapshotCache>,
    topics: Arc<Topics>,
    sightings: Arc<SightingsOfAll>,
}

/// A write that waits for its turn.
pub(super) struct Job {
    pub(super) token: Token,
    /// Whether the token was drawn for this write, so that looking for it would be in vain. Should it be
    /// there all the same, the commit finds out.
    pub(super) fresh: bool,
    pub(super) decide: Decide,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What to do to a cluster as it is at a moment; `None`: nothing, for a reason that the closure keeps.
pub(super) type Decide = Box<dyn FnMut(Option<&Cluster>, UnixMillis) -> Option<Transition> + Send>;

/// What is on the disk now, or `None` where nothing was to be written.
pub(super) type Answer = Result<Option<Committed>, NotWritten>;

/// A change that is on the disk.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The cluster right after it; `None` means that it was deleted.
    pub after: Option<Arc<Cluster>>,
    /// What happened; at least one event.
    pub events: Vec<Arc<Event>>,
}

/// The clusters that a batch is about, each with what has been decided so far.
type Drafts = HashMap<Token, Draft>;

#[derive(Default)]
struct Draft {
    base: Option<Revision>,
    cluster: Option<Arc<Cluster>>,
    /// Whether the token had a cluster that was deleted after members had registered.
    used_up: bool,
    /// Whether what is stored can't be read, which has been logged.
    corrupt: bool,
    events: Vec<Arc<Event>>,
}

impl Committer {
    pub(super) fn new(
        store: Arc<Store>,
        cache: Arc<SnapshotCache>,
        topics: Arc<Topics>,
        sightings: Arc<SightingsOfAll>,
    ) -> Self {
        Self { store, cache, topics, sightings }
    }

    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while !waiting.is_empty() || queue.recv_many(&mut waiting, BATCH).await > 0 {
            let batch = mem::take(&mut waiting);
            waiting = self.settle(batch).await;
        }
    }

    /// Settles a batch, or its beginning: returns the jobs that have to wait for the next one.
    async fn settle(&self, mut jobs: Vec<Job>) -> Vec<Job> {
        let mut tries = 1;
        let (answers, left) = loop {
            let failed = match self.try_settle(&mut jobs).await {
                Ok(settled) => break settled,
                Err(StoreError::Conflict) if tries < TRIES => {
                    tries += 1;
                    self.forget(&jobs);
                    jobs.iter_mut().for_each(|job| job.fresh = false);
                    continue;
                }
                Err(error) => NotWritten::from(unavailable(error)),
            };
            // Whether a failed commit reached the disk is not known, so the database is asked next time.
            self.forget(&jobs);
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
    async fn try_settle(&self, jobs: &mut Vec<Job>) -> Result<(Vec<Answer>, Vec<Job>), StoreError> {
        let tokens = jobs.iter().filter(|job| !job.fresh).map(|job| job.token.clone()).collect();
        let mut drafts = self.read(tokens).await?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut() {
            let draft = drafts.entry(job.token.clone()).or_default();
            if draft.is_deleted() {
                break;
            }
            answers.push(draft.decide(job));
        }
        let writes = into_writes(drafts);
        if !writes.is_empty() {
            self.store.commit(&writes).await?;
            self.publish(writes);
        }
        let left = jobs.split_off(answers.len());
        Ok((answers, left))
    }

    /// Drafts of clusters, from memory or with one query for all the others. What is in neither does not exist.
    async fn read(&self, tokens: HashSet<Token>) -> Result<Drafts, StoreError> {
        let mut drafts = Drafts::with_capacity(tokens.len());
        let mut others = Vec::new();
        for token in tokens {
            match self.cache.get(&token) {
                Some(snapshot) => drop(drafts.insert(token, Draft::on(snapshot.cluster.clone()))),
                None => others.push(token),
            }
        }
        let loaded = self.store.load_all(&others).await?;
        for cluster in loaded.clusters {
            drafts.insert(cluster.token.clone(), Draft::on(Arc::new(cluster)));
        }
        for (token, error) in loaded.corrupt {
            unavailable(error);
            drafts.insert(token, Draft { corrupt: true, ..Draft::default() });
        }
        for token in loaded.used_up {
            drafts.insert(token, Draft { used_up: true, ..Draft::default() });
        }
        Ok(drafts)
    }

    fn publish(&self, writes: Vec<Write>) {
        for write in writes {
            match write.after {
                Some(cluster) => self.cache.insert(write.token, Arc::new(Snapshot::new(cluster))),
                None => {
                    self.cache.remove(&write.token);
                    self.sightings.forget(&write.token);
                }
            }
            write.events.iter().for_each(|event| self.topics.publish(event));
        }
    }

    fn forget(&self, jobs: &[Job]) {
        for job in jobs {
            self.cache.remove(&job.token);
        }
    }
}

fn into_writes(drafts: Drafts) -> Vec<Write> {
    let changed = drafts.into_iter().filter(|(_, draft)| !draft.events.is_empty());
    changed
        .map(|(token, draft)| Write { token, base: draft.base, after: draft.cluster, events: draft.events })
        .collect()
}

impl Draft {
    fn on(cluster: Arc<Cluster>) -> Self {
        Self { base: Some(cluster.revision), cluster: Some(cluster), ..Self::default() }
    }

    fn is_deleted(&self) -> bool {
        self.cluster.is_none() && !self.events.is_empty()
    }

    fn decide(&mut self, job: &mut Job) -> Answer {
        if self.corrupt {
            return Err(Unavailable.into());
        }
        let Some(Transition { after, events }) = (job.decide)(self.cluster.as_deref(), now()) else { return Ok(None) };
        if self.used_up {
            return Err(NotWritten::TokenUsedUp);
        }
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        self.cluster = after.map(Arc::new);
        self.events.extend(events.iter().cloned());
        Ok(Some(Committed { after: self.cluster.clone(), events }))
    }
}
