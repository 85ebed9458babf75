use std::{
    collections::{HashMap, VecDeque},
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
};

use convene_lifecycle::{Cluster, Event, EventKind, Revision, Token};
use tokio::sync::Notify;

use crate::store::Stamp;

/// About how many bytes of a cluster's latest events are kept for those who wait for it. Who is further behind has to look
/// into the history, in the database.
const RECENT_BYTES: usize = 256 << 10;

/// Carries events from the committer to those who wait for them: one feed for each cluster that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct WatchHub {
    feeds: Mutex<HashMap<Token, HubEntry>>,
}

/// A feed, and how many subscribe to it: counted under the lock of all hub, so that of several that leave at once
/// one is the last.
#[derive(Debug, Default)]
struct HubEntry {
    feed: Arc<Feed>,
    subscribers: usize,
}

/// One cluster's latest events. They are there once for all who wait, and nothing is kept for anybody in particular, so
/// that those who are slow or stand still cost nothing.
#[derive(Debug, Default)]
struct Feed {
    recent: Mutex<RecentEvents>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct RecentEvents {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// How many events have been dropped already, which is the place of the first that is there.
    first_index: u64,
    delivered: DeliveredState,
    /// The latest state that somebody has seen who may wait, if that is later than what was told.
    read_ahead: Option<Arc<Cluster>>,
    /// The last event of the present cluster that was told; `None`: none of it was.
    last_revision: Option<Revision>,
}

/// How far those who wait for a cluster have been told of it, or have seen for themselves when they began to wait.
#[derive(Clone, Debug, Default)]
pub(super) enum DeliveredState {
    /// Nobody knows.
    #[default]
    Unknown,
    /// There is no such cluster.
    NoCluster,
    /// The cluster was so.
    Cluster(Arc<Cluster>),
}

/// One waiter's place at a cluster's events.
#[derive(Debug)]
pub struct Subscription {
    token: Token,
    feed: Arc<Feed>,
    /// The place of the next event.
    next_index: u64,
    hub: Arc<WatchHub>,
}

/// What a subscriber hears next.
#[derive(Debug)]
pub enum Delivery {
    /// An event.
    Event(Arc<Event>),
    /// There were more events than are kept; the history has them.
    Lagged,
}

impl WatchHub {
    /// A place at a cluster's events. `delivered` is how the cluster is at least, if that is delivered.
    pub(super) fn subscribe(self: &Arc<Self>, token: &Token, delivered: DeliveredState) -> Subscription {
        let feed = {
            let mut all = self.lock();
            let entry = all.entry(token.clone()).or_default();
            if entry.subscribers == 0 {
                entry.feed.lock().delivered = delivered;
            }
            entry.subscribers += 1;
            entry.feed.clone()
        };
        let next_index = feed.lock().end_index();
        Subscription { token: token.clone(), feed, next_index, hub: self.clone() }
    }

    /// Tells of what was done to a cluster here, and how it is afterwards; `None`: it is deleted.
    pub(super) fn publish(&self, token: &Token, events: &[Arc<Event>], after: Option<&Arc<Cluster>>) {
        self.change(token, |recent| recent.deliver(events, after));
    }

    /// Tells of what was done to a cluster elsewhere, unless something was told meanwhile: then it has to be looked at
    /// anew. If nobody knew how the cluster was, then all who wait are told that they have missed something.
    pub(super) fn publish_replicated(
        &self,
        token: &Token,
        before: &DeliveredState,
        events: &[Arc<Event>],
        after: Option<&Arc<Cluster>>,
    ) {
        self.change(token, |recent| {
            if recent.delivered.stamp() != before.stamp() {
                return;
            }
            if matches!(before, DeliveredState::Unknown) {
                recent.leave_gap();
                recent.set_delivered(after);
                recent.last_revision = after.map(|after| after.revision);
            } else {
                recent.deliver(events, after);
            }
        });
    }

    /// Takes over how a cluster was for somebody who may be about to wait for it. Every read comes here, so that it wakes
    /// nobody in vain.
    pub(super) fn record_read(&self, token: &Token, seen: Option<&Arc<Cluster>>) {
        let Some(feed) = self.feed(token) else { return };
        if feed.lock().record_read(seen) {
            feed.changed.notify_waiters();
        }
    }

    fn change(&self, token: &Token, change: impl FnOnce(&mut RecentEvents)) {
        if let Some(feed) = self.feed(token) {
            change(&mut feed.lock());
            feed.changed.notify_waiters();
        }
    }

    /// The clusters that somebody waits for.
    pub(super) fn watched_tokens(&self) -> Vec<Token> {
        self.lock().keys().cloned().collect()
    }

    /// How far those who wait for a cluster have been told of it; `None`: nobody waits.
    pub(super) fn delivered(&self, token: &Token) -> Option<DeliveredState> {
        self.feed(token).map(|feed| feed.lock().delivered.clone())
    }

    /// The latest state of a cluster that somebody has seen who may wait for it, told or not; `None`: nobody waits.
    pub(super) fn latest_state(&self, token: &Token) -> Option<DeliveredState> {
        let feed = self.feed(token)?;
        let recent = feed.lock();
        Some(recent.read_ahead.clone().map_or_else(|| recent.delivered.clone(), DeliveredState::Cluster))
    }

    fn feed(&self, token: &Token) -> Option<Arc<Feed>> {
        self.lock().get(token).map(|entry| entry.feed.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, HubEntry>> {
        self.feeds.lock().expect("no holder panics")
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, RecentEvents> {
        self.recent.lock().expect("no holder panics")
    }
}

impl RecentEvents {
    fn end_index(&self) -> u64 {
        self.first_index + self.events.len() as u64
    }

    fn get(&self, index: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    /// Adds events that have not been told yet. Should there be some before them that were not either, then all who wait
    /// fall into a gap.
    fn deliver(&mut self, events: &[Arc<Event>], after: Option<&Arc<Cluster>>) {
        match (&self.delivered, after) {
            (DeliveredState::NoCluster, None) => return,
            // The end of the one before was not heard here.
            (DeliveredState::Cluster(old), Some(new)) if old.created_at != new.created_at => {
                let ends = old.delete(new.created_at).events;
                ends.into_iter().for_each(|end| self.push(Arc::new(end)));
                self.set_delivered(None);
                self.last_revision = None;
            }
            _ => {}
        }
        for event in events {
            if self.last_revision.is_some_and(|last| event.revision <= last) {
                continue;
            }
            if self.next_revision().is_some_and(|next| event.revision > next) {
                self.leave_gap();
            }
            self.last_revision = Some(event.revision);
            self.push(event.clone());
        }
        self.set_delivered(after);
        if after.is_none() {
            self.last_revision = None;
        }
    }

    fn set_delivered(&mut self, after: Option<&Arc<Cluster>>) {
        self.read_ahead = self.read_ahead.take().filter(|seen| after.is_some_and(|after| is_later_state(seen, after)));
        self.delivered = after.map_or(DeliveredState::NoCluster, |after| DeliveredState::Cluster(after.clone()));
    }

    /// Takes over what somebody has seen, and returns whether all who wait have to look for themselves because of that.
    fn record_read(&mut self, seen: Option<&Arc<Cluster>>) -> bool {
        match (&self.delivered, seen) {
            (DeliveredState::Unknown, None) => self.delivered = DeliveredState::NoCluster,
            (DeliveredState::Unknown, Some(seen)) => self.delivered = DeliveredState::Cluster(seen.clone()),
            // What somebody else has seen was not told; whoever saw less must not wait for it.
            (DeliveredState::Cluster(delivered), Some(seen))
                if seen.revision < delivered.revision && self.last_revision < Some(delivered.revision) =>
            {
                self.leave_gap();
                return true;
            }
            (DeliveredState::Cluster(delivered), Some(seen))
                if is_later_state(seen, self.read_ahead.as_ref().unwrap_or(delivered)) =>
            {
                self.read_ahead = Some(seen.clone());
            }
            _ => {}
        }
        false
    }

    /// The revision of the next event at the latest, if that is delivered.
    fn next_revision(&self) -> Option<Revision> {
        match (&self.delivered, self.last_revision) {
            (_, Some(last)) => Some(last.next()),
            (DeliveredState::Cluster(delivered), None) => Some(delivered.revision.next()),
            (DeliveredState::NoCluster, None) => Some(Revision::FIRST),
            (DeliveredState::Unknown, None) => None,
        }
    }

    /// Leaves a gap, which all who have not come so far fall into.
    fn leave_gap(&mut self) {
        self.first_index = self.end_index() + 1;
        self.events.clear();
        self.bytes = 0;
    }

    fn push(&mut self, event: Arc<Event>) {
        self.bytes += weight(&event);
        self.events.push_back(event);
        while self.bytes > RECENT_BYTES && self.events.len() > 1 {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| weight(&oldest));
            self.first_index += 1;
        }
    }
}

impl DeliveredState {
    /// Which state it is.
    pub(super) fn stamp(&self) -> Option<Option<Stamp>> {
        match self {
            Self::Unknown => None,
            Self::NoCluster => Some(None),
            Self::Cluster(cluster) => Some(Some(Stamp::of(cluster))),
        }
    }
}

/// Whether one is a later state of the other, and not of another cluster under its token.
fn is_later_state(one: &Cluster, other: &Cluster) -> bool {
    one.created_at == other.created_at && one.revision > other.revision
}

/// The memory that an event takes, roughly.
fn weight(event: &Event) -> usize {
    let previous = event.previous.as_ref().and_then(|previous| previous.value.as_ref());
    let held = event.also_deleted.iter().filter_map(|(_, previous)| previous.value.as_ref());
    let values = event.value.iter().chain(previous).chain(held).map(|value| value.len() + 64);
    mem::size_of::<Event>() + event.message.len() + values.sum::<usize>()
}

impl Subscription {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Delivery {
        let feed = self.feed.clone();
        loop {
            // First listen, then look, so that nothing falls in between.
            let mut changed = pin!(feed.changed.notified());
            changed.as_mut().enable();
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            changed.await;
        }
    }

    /// What comes next, if it is there already and is wanted.
    pub fn next_if(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Option<Arc<Event>> {
        let event = self.feed.lock().get(self.next_index).filter(|event| is_wanted(event)).cloned()?;
        self.next_index += 1;
        Some(event)
    }

    /// Looks for the cluster's deletion in what was heard already, and drops what came before it.
    pub fn deletion(&mut self) -> Option<Arc<Event>> {
        loop {
            match self.try_next()? {
                Delivery::Event(event) if event.kind == EventKind::ClusterDeleted => return Some(event),
                Delivery::Event(_) | Delivery::Lagged => {}
            }
        }
    }

    fn try_next(&mut self) -> Option<Delivery> {
        let recent = self.feed.lock();
        if self.next_index < recent.first_index {
            self.next_index = recent.first_index;
            return Some(Delivery::Lagged);
        }
        let event = recent.get(self.next_index)?.clone();
        self.next_index += 1;
        Some(Delivery::Event(event))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut all = self.hub.lock();
        if let Some(entry) = all.get_mut(&self.token) {
            entry.subscribers -= 1;
            if entry.subscribers == 0 {
                all.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Action, Cluster, ClusterSize, UnixMillis};
    use futures_util::FutureExt;

    use super::*;

    fn cluster(revision: u64) -> Arc<Cluster> {
        let created = Cluster::create("prod".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
        Arc::new(Cluster { revision: Revision(revision), ..created.after.unwrap() })
    }

    /// The cluster's first event, or one of those after it.
    fn event(revision: u64) -> Arc<Event> {
        let created = Cluster::create("prod".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
        let sized = created.after.unwrap().set_size(ClusterSize::DEFAULT, Action::Set, UnixMillis(0)).unwrap();
        let events = [&created.events[0], &sized.events[0]];
        Arc::new(Event { revision: Revision(revision), ..events[usize::from(revision > 1)].clone() })
    }

    fn publish(hub: &WatchHub, revision: u64) {
        hub.publish(&event(1).token, &[event(revision)], Some(&cluster(revision)));
    }

    fn hear(subscription: &mut Subscription) -> Option<Delivery> {
        subscription.next().now_or_never()
    }

    #[test]
    fn a_topic_goes_with_its_last_subscriber() {
        let hub = Arc::new(WatchHub::default());
        let token: Token = "prod".parse().unwrap();
        let (one, two) =
            (hub.subscribe(&token, DeliveredState::Unknown), hub.subscribe(&token, DeliveredState::Unknown));
        drop(one);
        assert_eq!(hub.lock().len(), 1);
        drop(two);
        assert!(hub.lock().is_empty());
    }

    #[test]
    fn of_several_that_leave_at_once_one_is_the_last() {
        let hub = Arc::new(WatchHub::default());
        for round in 0..2_000 {
            let token: Token = format!("t{round}").parse().unwrap();
            let both = [hub.subscribe(&token, DeliveredState::Unknown), hub.subscribe(&token, DeliveredState::Unknown)];
            let together = Arc::new(std::sync::Barrier::new(both.len()));
            std::thread::scope(|scope| {
                for one in both {
                    let together = together.clone();
                    scope.spawn(move || {
                        together.wait();
                        drop(one);
                    });
                }
            });
        }
        assert_eq!(hub.lock().len(), 0);
    }

    #[test]
    fn each_hears_what_comes_after_it() {
        let hub = Arc::new(WatchHub::default());
        let mut early = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        publish(&hub, 1);
        let mut late = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        assert!(matches!(hear(&mut early), Some(Delivery::Event(_))));
        assert!(hear(&mut early).is_none() && hear(&mut late).is_none());
        publish(&hub, 2);
        assert!(matches!((hear(&mut early), hear(&mut late)), (Some(Delivery::Event(_)), Some(Delivery::Event(_)))));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        let waits = tokio::spawn(async move { matches!(subscription.next().await, Delivery::Event(_)) });
        tokio::task::yield_now().await;
        publish(&hub, 1);
        assert!(waits.await.unwrap());
    }

    #[test]
    fn who_stands_still_is_told_once_that_it_has_missed_something_and_hears_the_rest() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        let many = 2 * RECENT_BYTES / weight(&event(2));
        (0..many).for_each(|n| publish(&hub, n as u64 + 1));
        assert!(subscription.feed.lock().bytes <= RECENT_BYTES);
        assert!(matches!(hear(&mut subscription), Some(Delivery::Lagged)));
        let rest =
            std::iter::from_fn(|| hear(&mut subscription)).map(|heard| assert!(matches!(heard, Delivery::Event(_))));
        let rest = rest.count();
        assert!((many / 3..many * 2 / 3).contains(&rest), "{rest} of {many}");
    }

    #[test]
    fn what_is_told_twice_is_heard_once() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(1)));
        [2, 2].iter().for_each(|revision| publish(&hub, *revision));
        hub.publish_replicated(&event(1).token, &DeliveredState::Cluster(cluster(2)), &[event(2)], Some(&cluster(2)));
        assert!(matches!(hear(&mut subscription), Some(Delivery::Event(event)) if event.revision == Revision(2)));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn who_waits_is_told_that_something_is_missing_in_between() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(1)));
        publish(&hub, 4);
        assert!(matches!(hear(&mut subscription), Some(Delivery::Lagged)));
        assert!(matches!(hear(&mut subscription), Some(Delivery::Event(event)) if event.revision == Revision(4)));
        hub.publish_replicated(&event(1).token, &DeliveredState::Cluster(cluster(3)), &[event(5)], Some(&cluster(5)));
        assert!(hear(&mut subscription).is_none(), "something else was told meanwhile");
    }

    #[test]
    fn when_nobody_knew_how_a_cluster_was_all_look_for_themselves() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        hub.publish_replicated(&event(1).token, &DeliveredState::Unknown, &[], Some(&cluster(7)));
        assert!(matches!(hear(&mut subscription), Some(Delivery::Lagged)));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn whoever_saw_less_than_another_does_not_wait_for_what_is_never_told() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
        hub.record_read(&event(1).token, Some(&cluster(7)));
        assert!(hear(&mut subscription).is_none());
        hub.record_read(&event(1).token, Some(&cluster(6)));
        assert!(matches!(hear(&mut subscription), Some(Delivery::Lagged)));
        publish(&hub, 8);
        hub.record_read(&event(1).token, Some(&cluster(7)));
        assert!(matches!(hear(&mut subscription), Some(Delivery::Event(_))));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn what_somebody_has_seen_is_remembered_until_it_is_told() {
        let (hub, token) = (Arc::new(WatchHub::default()), &event(1).token);
        let _subscription = hub.subscribe(token, DeliveredState::Cluster(cluster(5)));
        let latest = || match hub.latest_state(token) {
            Some(DeliveredState::Cluster(cluster)) => cluster.revision.0,
            other => panic!("{other:?}"),
        };
        [7, 6].iter().for_each(|revision| hub.record_read(token, Some(&cluster(*revision))));
        assert_eq!(latest(), 7);
        publish(&hub, 6);
        assert_eq!(latest(), 7);
        publish(&hub, 8);
        assert_eq!(latest(), 8);
        let again = Arc::new(Cluster { created_at: UnixMillis(9), ..Cluster::clone(&cluster(9)) });
        hub.record_read(token, Some(&again));
        assert_eq!(latest(), 8, "the one that was told has an end of its own");
        hub.publish_replicated(token, &DeliveredState::Cluster(cluster(8)), &[], None);
        assert!(matches!(hub.latest_state(token), Some(DeliveredState::NoCluster)));
    }

    #[test]
    fn a_cluster_that_is_made_again_begins_anew() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(5)));
        let again = Arc::new(Cluster { created_at: UnixMillis(9), ..Cluster::clone(&cluster(2)) });
        hub.publish_replicated(
            &event(1).token,
            &DeliveredState::Cluster(cluster(5)),
            &[event(1), event(2)],
            Some(&again),
        );
        let heard: Vec<_> = std::iter::from_fn(|| hear(&mut subscription))
            .map(|heard| match heard {
                Delivery::Event(event) => (event.kind, event.revision.0),
                Delivery::Lagged => panic!("nothing was missed"),
            })
            .collect();
        assert_eq!(heard, [(EventKind::ClusterDeleted, 6), (EventKind::ClusterCreated, 1), (EventKind::SizeSet, 2)]);
    }

    #[test]
    fn a_cluster_ends_once() {
        let hub = Arc::new(WatchHub::default());
        let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(5)));
        let deletion = Arc::new(cluster(5).delete(UnixMillis(0)).events[0].clone());
        for _ in 0..2 {
            hub.publish(&event(1).token, std::slice::from_ref(&deletion), None);
        }
        assert!(matches!(hear(&mut subscription), Some(Delivery::Event(_))));
        assert!(hear(&mut subscription).is_none());
    }
}
