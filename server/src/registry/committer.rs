use std::{collections::HashMap, mem, sync::Arc};

use convene_lifecycle::{Cluster, Event, Revision, Token, Transition, UnixMillis};
use tokio::sync::{mpsc, oneshot};

use super::{Snapshot, SnapshotCache, Unavailable, cached_or_loaded, now, topics::Topics, unavailable};
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
}

/// A write that waits for its turn.
pub(super) struct Job {
    pub(super) token: Token,
    /// `None`: refused, so there is nothing to write.
    pub(super) decide: Box<dyn FnMut(Option<&Cluster>, UnixMillis) -> Option<Transition> + Send>,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The event that is on the disk now, or `None` where nothing was to be written.
type Answer = Result<Option<Arc<Event>>, Unavailable>;

/// The clusters that a batch touches, each with what has been decided so far.
#[derive(Default)]
struct Drafts {
    drafts: HashMap<Token, Draft>,
}

struct Draft {
    base: Option<Revision>,
    cluster: Option<Arc<Cluster>>,
    events: Vec<Arc<Event>>,
}

impl Committer {
    pub(super) fn new(store: Arc<Store>, cache: Arc<SnapshotCache>, topics: Arc<Topics>) -> Self {
        Self { store, cache, topics }
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
                    continue;
                }
                Err(error) => unavailable(error),
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

    /// Decides the jobs up to the first that deletes a cluster, which has to reach the disk before the
    /// token can be used anew; the jobs after it are cut off and returned.
    async fn try_settle(&self, jobs: &mut Vec<Job>) -> Result<(Vec<Answer>, Vec<Job>), StoreError> {
        let mut drafts = Drafts::default();
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut() {
            let draft = drafts.get_or_read(&self.cache, &self.store, &job.token).await?;
            answers.push(Ok(draft.decide(job)));
            if draft.cluster.is_none() && !draft.events.is_empty() {
                break;
            }
        }
        let writes = drafts.into_writes();
        if !writes.is_empty() {
            self.store.commit(&writes).await?;
            self.publish(writes);
        }
        let left = jobs.split_off(answers.len());
        Ok((answers, left))
    }

    fn publish(&self, writes: Vec<Write>) {
        for write in writes {
            match write.after {
                Some(cluster) => self.cache.insert(write.token, Arc::new(Snapshot::new(cluster))),
                None => drop(self.cache.remove(&write.token)),
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

impl Drafts {
    async fn get_or_read(
        &mut self,
        cache: &SnapshotCache,
        store: &Store,
        token: &Token,
    ) -> Result<&mut Draft, StoreError> {
        if !self.drafts.contains_key(token) {
            let read = cached_or_loaded(cache, store, token).await?;
            let cluster = read.map(|snapshot| snapshot.cluster.clone());
            let base = cluster.as_ref().map(|cluster| cluster.revision);
            self.drafts.insert(token.clone(), Draft { base, cluster, events: Vec::new() });
        }
        Ok(self.drafts.get_mut(token).expect("just put there"))
    }

    fn into_writes(self) -> Vec<Write> {
        let changed = self.drafts.into_iter().filter(|(_, draft)| !draft.events.is_empty());
        changed
            .map(|(token, draft)| Write { token, base: draft.base, after: draft.cluster, events: draft.events })
            .collect()
    }
}

impl Draft {
    fn decide(&mut self, job: &mut Job) -> Option<Arc<Event>> {
        let Transition { after, event } = (job.decide)(self.cluster.as_deref(), now())?;
        let event = Arc::new(event);
        self.cluster = after.map(Arc::new);
        self.events.push(event.clone());
        Some(event)
    }
}
