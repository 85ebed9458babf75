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

/// The most events that are told at once, and about how many bytes of them.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 32 << 10;

/// Follows a part of a cluster's keys for one watch.
pub struct Watcher {
    app: Arc<App>,
    follower: Follower,
    wanted: Wanted,
    told: Told,
    /// The first revision that was not looked at yet.
    next: Revision,
    /// Whether the watch begins at a revision that the cluster has not come to.
    is_ahead: bool,
    /// Whether there may be something in the history that was not looked at.
    looks_back: bool,
}

/// Which events a watch is about, and what of them.
#[derive(Clone, Debug)]
pub struct Wanted {
    range: KeyRange,
    puts: bool,
    deletions: bool,
    previous: bool,
}

/// Up to which revision a watch knows everything. Who asks for progress reads it, while the watcher goes on.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<AtomicU64>);

/// What a watcher has come to.
#[derive(Debug)]
pub enum Seen {
    /// Events, and the revision up to which there are no more.
    Events(Revision, Vec<wire::Event>),
    /// What comes next has been forgotten, or the cluster is not the one that was followed; this is from where on there
    /// is something to be had.
    Compacted(Revision),
    /// The registry can't be read now.
    Unavailable,
}

impl Wanted {
    /// Reads what a request wants of a range.
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

impl Told {
    /// The last revision of which the watch knows.
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
    pub fn new(app: Arc<App>, mut follower: Follower, wanted: Wanted, from: Revision, present: Revision) -> Self {
        follower.resume_from(from);
        let told = Told::default();
        told.set(Revision(from.0 - 1));
        let (is_ahead, looks_back) = (from > present.next(), from <= present);
        Self { app, follower, wanted, told, next: from, is_ahead, looks_back }
    }

    /// Where it is seen how far the watch has come.
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// Waits for what the watch is to be told next.
    pub async fn next(&mut self) -> Seen {
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(Unavailable) => return Seen::Unavailable,
            };
            let seen = match step {
                FollowStep::Event(event) => self.look_at(event),
                FollowStep::Compacted { oldest } => Some(Seen::Compacted(oldest)),
                // It will come there; or it was made anew, which only those need to know who have seen the old one.
                FollowStep::FutureRevision { .. } if self.is_ahead => None,
                FollowStep::NoCluster if self.is_ahead || self.next == Revision::FIRST => None,
                FollowStep::FutureRevision { .. } | FollowStep::NoCluster => Some(Seen::Compacted(Revision::FIRST)),
            };
            if let Some(seen) = seen {
                return seen;
            }
        }
    }

    async fn step(&mut self) -> Result<FollowStep, Unavailable> {
        if self.looks_back {
            if let Some(step) = self.follower.next_available(&self.app.registry).await? {
                return Ok(step);
            }
            self.looks_back = false;
        }
        self.follower.next(&self.app.registry).await
    }

    /// Looks at an event, and at those after it that are there already.
    fn look_at(&mut self, mut event: Arc<Event>) -> Option<Seen> {
        let mut events = Vec::new();
        loop {
            self.take(&event, &mut events);
            if event.kind == EventKind::ClusterDeleted || events.len() >= BATCH {
                break;
            }
            if events.iter().map(Message::encoded_len).sum::<usize>() >= BATCH_BYTES {
                // The rest of what was read is large as well, and may lie here for as long as the client doesn't read.
                self.follower.resume_from(self.next);
                self.looks_back = true;
                break;
            }
            match self.follower.try_next() {
                Some(FollowStep::Event(next)) => event = next,
                _ => break,
            }
        }
        (!events.is_empty()).then_some(Seen::Events(event.revision, events))
    }

    fn take(&mut self, event: &Event, events: &mut Vec<wire::Event>) {
        if event.kind == EventKind::ClusterDeleted {
            self.take_deletion(event, events);
            return;
        }
        self.wanted.pick(event, events);
        self.next = event.revision.next();
        self.told.set(event.revision);
        self.is_ahead = false;
    }

    /// Goes on with the cluster that may be made under this token after this one. Who waits for a revision that this one
    /// has not come to goes on to wait for it.
    fn take_deletion(&mut self, event: &Event, events: &mut Vec<wire::Event>) {
        if event.revision >= self.next {
            self.wanted.pick(event, events);
            self.next = Revision::FIRST;
            self.told.set(Revision(0));
        }
        self.follower.resume_from(self.next);
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Settings, Token};
    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;
    use crate::app::testing::{app, delete, set_size};

    /// A watch of all keys of a cluster.
    fn watch(app: &Arc<App>, token: &Token, from: u64, present: u64) -> Watcher {
        let key = format!("/_etcd/registry/{}/", token.as_str()).into_bytes();
        let range = KeyRange::parse(key, format!("/_etcd/registry/{}0", token.as_str()).into_bytes()).unwrap();
        let wanted = Wanted::new(range, &WatchCreateRequest::default());
        let follower = app.registry.follow(token, Revision::FIRST);
        Watcher::new(app.clone(), follower, wanted, Revision(from), Revision(present))
    }

    /// The revisions of the next events, and whether they are deletions.
    async fn next(watcher: &mut Watcher) -> Vec<(i64, bool)> {
        let seen = tokio::time::timeout(std::time::Duration::from_secs(5), watcher.next()).await;
        let Ok(Seen::Events(_, events)) = seen else { panic!("no events: {seen:?}") };
        let told = |event: wire::Event| (event.kv.as_ref().unwrap().mod_revision, event.r#type() == EventType::Delete);
        events.into_iter().map(told).collect()
    }

    async fn compacted(watcher: &mut Watcher) -> Revision {
        match tokio::time::timeout(std::time::Duration::from_secs(5), watcher.next()).await {
            Ok(Seen::Compacted(from)) => from,
            other => panic!("not compacted: {other:?}"),
        }
    }

    #[tokio::test]
    async fn history_and_present_follow_each_other_without_gap() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 200).await;
        let mut watcher = watch(&app, &token, 1, 201);
        set_size(&app, &token, 200).await;
        let mut told = Vec::new();
        while told.len() < 401 {
            told.extend(next(&mut watcher).await);
        }
        assert_eq!(told, (1..=401).map(|revision| (revision, false)).collect::<Vec<_>>());
        assert_eq!(watcher.told().revision(), Revision(401));
        assert!(watcher.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_cluster_that_is_made_again_is_watched_from_its_beginning() {
        let (_dir, app, token) = app().await;
        let mut watcher = watch(&app, &token, 2, 1);
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        assert_eq!(next(&mut watcher).await, [(2, true)]);
        assert_eq!(watcher.told().revision(), Revision(0));
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
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        set_size(&app, &token, 4).await;
        assert_eq!(next(&mut watcher).await, [(5, false)]);
    }

    #[tokio::test]
    async fn a_watch_of_a_cluster_that_is_not_there_yet_sees_its_creation() {
        let (_dir, app, _) = app().await;
        let token: Token = "two".parse().unwrap();
        let mut watcher = watch(&app, &token, 1, 0);
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        assert_eq!(next(&mut watcher).await, [(1, false)]);
    }

    #[tokio::test]
    async fn who_asks_for_what_is_forgotten_is_told_from_where_on_there_is_something() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 1_300).await;
        let oldest = compacted(&mut watch(&app, &token, 1, 1_301)).await;
        assert!((100..=302).contains(&oldest.0), "{oldest}");
        let first = next(&mut watch(&app, &token, oldest.0, 1_301)).await[0];
        assert_eq!(first, (oldest.0 as i64, false));
    }

    #[tokio::test]
    async fn who_was_too_slow_to_hear_of_a_clusters_end_begins_anew() {
        let (_dir, app, token): (TempDir, _, _) = app().await;
        set_size(&app, &token, 1_200).await;
        let mut watcher = watch(&app, &token, 1_202, 1_201);
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        set_size(&app, &token, 1_000).await;
        assert_eq!(compacted(&mut watcher).await, Revision::FIRST);
    }
}
