use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use convene_etcd::wire::{self, WatchCreateRequest, event::EventType, watch_create_request::FilterType};
use convene_lifecycle::{Event, EventKind, Revision};
use prost::Message;

use crate::{
    app::App,
    registry::{FollowStep, Follower, Unavailable},
    v3::{key::KeyRange, view},
};

/// The most events of one response, and about how many bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 32 << 10;

/// Follows a part of a cluster's keys for one watch.
pub struct Watcher {
    app: Arc<App>,
    follower: Follower,
    filter: EventFilter,
    progress: Progress,
    /// The next revision to read.
    next: Revision,
    /// Whether the watch begins at a revision that the cluster has not come to.
    is_ahead: bool,
    /// Whether the history may hold events that were not read yet.
    has_unread_history: bool,
}

/// Selects the events of a watch.
#[derive(Clone, Debug)]
pub struct EventFilter {
    range: KeyRange,
    puts: bool,
    deletions: bool,
    previous: bool,
}

/// The revision up to which a watch has received all events. Progress requests read it while the watcher runs.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

/// The next thing to send on a watch.
#[derive(Debug)]
pub enum WatchStep {
    /// Events, and the revision up to which these are all.
    Events(Revision, Vec<wire::Event>),
    /// The next event has been compacted, or the cluster was recreated, or the database has lost events that were sent; the oldest
    /// revision available.
    Compacted(Revision),
    /// The registry can't be read now.
    Unavailable,
}

impl EventFilter {
    /// The filter of a request for a range.
    pub fn new(range: KeyRange, request: &WatchCreateRequest) -> Self {
        let filters: Vec<FilterType> = request.filters().collect();
        Self {
            range,
            puts: !filters.contains(&FilterType::Noput),
            deletions: !filters.contains(&FilterType::Nodelete),
            previous: request.prev_kv,
        }
    }

    fn pick(&self, event: &Event, into: &mut Vec<wire::Event>) {
        for mut event in view::watch_events(event) {
            let is_wanted = if event.r#type() == EventType::Put { self.puts } else { self.deletions };
            if is_wanted && self.range.contains(view::key(&event)) {
                event.prev_kv = event.prev_kv.filter(|_| self.previous);
                into.push(event);
            }
        }
    }
}

impl Progress {
    /// The last revision that the watch has received.
    pub fn revision(&self) -> Revision {
        Revision(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, revision: Revision) {
        self.0.store(revision.0, Ordering::Relaxed);
    }
}

impl Watcher {
    /// Watches from a revision on a cluster that has come to `present`. The follower was made before that was read, so
    /// that it misses nothing.
    pub fn new(app: Arc<App>, mut follower: Follower, filter: EventFilter, from: Revision, present: Revision) -> Self {
        follower.resume_from(from);
        let progress = Progress::default();
        progress.set(Revision(from.0 - 1));
        let (is_ahead, has_unread_history) = (from > present.next(), from <= present);
        Self { app, follower, filter, progress, next: from, is_ahead, has_unread_history }
    }

    /// The progress of the watch, shared with this watcher.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Waits for the next events.
    pub async fn next(&mut self) -> WatchStep {
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(Unavailable) => return WatchStep::Unavailable,
            };
            let seen = match step {
                FollowStep::Event(event) => self.batch(event),
                FollowStep::Compacted { oldest } => Some(WatchStep::Compacted(oldest)),
                // The cluster will reach the revision. If it was recreated, that matters only to a watch that has seen the old one.
                FollowStep::FutureRevision { .. } if self.is_ahead => None,
                FollowStep::NoCluster if self.is_ahead || self.next == Revision::FIRST => None,
                FollowStep::FutureRevision { .. } | FollowStep::NoCluster | FollowStep::HistoryLost => {
                    Some(WatchStep::Compacted(Revision::FIRST))
                }
            };
            if let Some(seen) = seen {
                return seen;
            }
        }
    }

    async fn step(&mut self) -> Result<FollowStep, Unavailable> {
        if self.has_unread_history {
            if let Some(step) = self.follower.next_available(&self.app.registry).await? {
                return Ok(step);
            }
            self.has_unread_history = false;
        }
        self.follower.next(&self.app.registry).await
    }

    /// Collects an event and those after it that are available.
    fn batch(&mut self, mut event: Arc<Event>) -> Option<WatchStep> {
        let mut events = Vec::new();
        loop {
            self.take(&event, &mut events);
            if event.kind == EventKind::ClusterDeleted || events.len() >= BATCH {
                break;
            }
            if events.iter().map(Message::encoded_len).sum::<usize>() >= BATCH_BYTES {
                // The rest of what was read is large as well, and may lie here for as long as the client doesn't read.
                self.follower.resume_from(self.next);
                self.has_unread_history = true;
                break;
            }
            match self.follower.try_next() {
                Some(FollowStep::Event(next)) => event = next,
                _ => break,
            }
        }
        (!events.is_empty()).then_some(WatchStep::Events(event.revision, events))
    }

    fn take(&mut self, event: &Event, events: &mut Vec<wire::Event>) {
        if event.kind == EventKind::ClusterDeleted {
            self.take_deletion(event, events);
            return;
        }
        self.filter.pick(event, events);
        self.next = event.revision.next();
        self.progress.set(event.revision);
        self.is_ahead = false;
    }

    /// Continues with the next cluster under this token. A watch from a revision that this cluster has not reached keeps
    /// waiting for that revision.
    fn take_deletion(&mut self, event: &Event, events: &mut Vec<wire::Event>) {
        if event.revision >= self.next {
            self.filter.pick(event, events);
            self.next = Revision::FIRST;
            self.progress.set(Revision(0));
        }
        self.follower.resume_from(self.next);
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Actor, Settings, Token};
    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        app::testing::{app, delete, set_size},
        metrics::WaitKind,
    };

    /// A watch of all keys of a cluster.
    fn watch(app: &Arc<App>, token: &Token, from: u64, present: u64) -> Watcher {
        let key = format!("/_etcd/registry/{}/", token.as_str()).into_bytes();
        let range = KeyRange::parse(key, format!("/_etcd/registry/{}0", token.as_str()).into_bytes()).unwrap();
        let filter = EventFilter::new(range, &WatchCreateRequest::default());
        let follower = app.registry.follow(token, Revision::FIRST, WaitKind::V3);
        Watcher::new(app.clone(), follower, filter, Revision(from), Revision(present))
    }

    /// The revisions of the next events, and whether they are deletions.
    async fn next(watcher: &mut Watcher) -> Vec<(i64, bool)> {
        let seen = tokio::time::timeout(std::time::Duration::from_secs(5), watcher.next()).await;
        let Ok(WatchStep::Events(_, events)) = seen else { panic!("no events: {seen:?}") };
        let revision =
            |event: wire::Event| (event.kv.as_ref().unwrap().mod_revision, event.r#type() == EventType::Delete);
        events.into_iter().map(revision).collect()
    }

    async fn compacted(watcher: &mut Watcher) -> Revision {
        match tokio::time::timeout(std::time::Duration::from_secs(5), watcher.next()).await {
            Ok(WatchStep::Compacted(from)) => from,
            other => panic!("not compacted: {other:?}"),
        }
    }

    #[tokio::test]
    async fn history_and_present_follow_each_other_without_gap() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 200).await;
        let mut watcher = watch(&app, &token, 1, 201);
        set_size(&app, &token, 200).await;
        let mut received = Vec::new();
        while received.len() < 401 {
            received.extend(next(&mut watcher).await);
        }
        assert_eq!(received, (1..=401).map(|revision| (revision, false)).collect::<Vec<_>>());
        assert_eq!(watcher.progress().revision(), Revision(401));
        assert!(watcher.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_cluster_that_is_made_again_is_watched_from_its_beginning() {
        let (_dir, app, token) = app().await;
        let mut watcher = watch(&app, &token, 2, 1);
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        assert_eq!(next(&mut watcher).await, [(2, true)]);
        assert_eq!(watcher.progress().revision(), Revision(0));
        assert_eq!(next(&mut watcher).await, [(1, false)]);
    }

    #[tokio::test]
    async fn a_watch_from_a_revision_that_is_yet_to_come_waits_for_it() {
        let (_dir, app, token) = app().await;
        let mut watcher = watch(&app, &token, 5, 1);
        set_size(&app, &token, 2).await;
        assert!(watcher.next().now_or_never().is_none());
        delete(&app, &token).await;
        assert!(watcher.next().now_or_never().is_none(), "the deletion is revision 4");
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        set_size(&app, &token, 4).await;
        assert_eq!(next(&mut watcher).await, [(5, false)]);
    }

    #[tokio::test]
    async fn a_watch_of_a_cluster_that_is_not_there_yet_sees_its_creation() {
        let (_dir, app, _) = app().await;
        let token: Token = "two".parse().unwrap();
        let mut watcher = watch(&app, &token, 1, 0);
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        assert_eq!(next(&mut watcher).await, [(1, false)]);
    }

    #[tokio::test]
    async fn a_watch_from_a_compacted_revision_gets_the_oldest_available() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 1_300).await;
        let oldest = compacted(&mut watch(&app, &token, 1, 1_301)).await;
        assert!((100..=302).contains(&oldest.0), "{oldest}");
        let first = next(&mut watch(&app, &token, oldest.0, 1_301)).await[0];
        assert_eq!(first, (oldest.0 as i64, false));
    }

    #[tokio::test]
    async fn a_watch_that_missed_the_deletion_restarts_from_the_first_revision() {
        let (_dir, app, token): (TempDir, _, _) = app().await;
        set_size(&app, &token, 1_200).await;
        let mut watcher = watch(&app, &token, 1_202, 1_201);
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        set_size(&app, &token, 1_000).await;
        assert_eq!(compacted(&mut watcher).await, Revision::FIRST);
    }
}
