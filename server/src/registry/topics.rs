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

/// Carries events from the committer to those who wait for them: one topic for each cluster that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Topics {
    open: Mutex<HashMap<Token, Open>>,
}

/// A topic, and how many subscribe to it: counted under the lock of all topics, so that of several that leave at once
/// one is the last.
#[derive(Debug, Default)]
struct Open {
    topic: Arc<Topic>,
    subscribers: usize,
}

/// One cluster's latest events. They are there once for all who wait, and nothing is kept for anybody in particular, so
/// that those who are slow or stand still cost nothing.
#[derive(Debug, Default)]
struct Topic {
    recent: Mutex<Recent>,
    published: Notify,
}

#[derive(Debug, Default)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// How many events have been dropped already, which is the place of the first that is there.
    first: u64,
    told: Told,
    /// The latest state that somebody has seen who may wait, if that is later than what was told.
    seen: Option<Arc<Cluster>>,
    /// The last event of the present cluster that was told; `None`: none of it was.
    last: Option<Revision>,
}

/// How far those who wait for a cluster have been told of it, or have seen for themselves when they began to wait.
#[derive(Clone, Debug, Default)]
pub(super) enum Told {
    /// Nobody knows.
    #[default]
    Unknown,
    /// There is no such cluster.
    Nothing,
    /// The cluster was so.
    Cluster(Arc<Cluster>),
}

/// One waiter's place at a cluster's events.
#[derive(Debug)]
pub struct Subscription {
    token: Token,
    topic: Arc<Topic>,
    /// The place of the next event.
    next: u64,
    topics: Arc<Topics>,
}

/// What a subscriber hears next.
#[derive(Debug)]
pub enum Heard {
    /// An event.
    Event(Arc<Event>),
    /// There were more events than are kept; the history has them.
    Missed,
}

impl Topics {
    /// A place at a cluster's events. `known` is how the cluster is at least, if that is known.
    pub(super) fn subscribe(self: &Arc<Self>, token: &Token, known: Told) -> Subscription {
        let topic = {
            let mut all = self.lock();
            let open = all.entry(token.clone()).or_default();
            if open.subscribers == 0 {
                open.topic.lock().told = known;
            }
            open.subscribers += 1;
            open.topic.clone()
        };
        let next = topic.lock().end();
        Subscription { token: token.clone(), topic, next, topics: self.clone() }
    }

    /// Tells of what was done to a cluster here, and how it is afterwards; `None`: it is deleted.
    pub(super) fn publish(&self, token: &Token, events: &[Arc<Event>], after: Option<&Arc<Cluster>>) {
        self.change(token, |recent| recent.tell(events, after));
    }

    /// Tells of what was done to a cluster elsewhere, unless something was told meanwhile: then it has to be looked at
    /// anew. If nobody knew how the cluster was, then all who wait are told that they have missed something.
    pub(super) fn import(&self, token: &Token, before: &Told, events: &[Arc<Event>], after: Option<&Arc<Cluster>>) {
        self.change(token, |recent| {
            if recent.told.stamp() != before.stamp() {
                return;
            }
            if matches!(before, Told::Unknown) {
                recent.skip();
                recent.be_told(after);
                recent.last = after.map(|after| after.revision);
            } else {
                recent.tell(events, after);
            }
        });
    }

    /// Takes over how a cluster was for somebody who may be about to wait for it. Every read comes here, so that it wakes
    /// nobody in vain.
    pub(super) fn know(&self, token: &Token, seen: Option<&Arc<Cluster>>) {
        let Some(topic) = self.topic(token) else { return };
        if topic.lock().know(seen) {
            topic.published.notify_waiters();
        }
    }

    fn change(&self, token: &Token, change: impl FnOnce(&mut Recent)) {
        if let Some(topic) = self.topic(token) {
            change(&mut topic.lock());
            topic.published.notify_waiters();
        }
    }

    /// The clusters that somebody waits for.
    pub(super) fn open(&self) -> Vec<Token> {
        self.lock().keys().cloned().collect()
    }

    /// How far those who wait for a cluster have been told of it; `None`: nobody waits.
    pub(super) fn told(&self, token: &Token) -> Option<Told> {
        self.topic(token).map(|topic| topic.lock().told.clone())
    }

    /// The latest state of a cluster that somebody has seen who may wait for it, told or not; `None`: nobody waits.
    pub(super) fn last_seen(&self, token: &Token) -> Option<Told> {
        let topic = self.topic(token)?;
        let recent = topic.lock();
        Some(recent.seen.clone().map_or_else(|| recent.told.clone(), Told::Cluster))
    }

    fn topic(&self, token: &Token) -> Option<Arc<Topic>> {
        self.lock().get(token).map(|open| open.topic.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Open>> {
        self.open.lock().expect("no holder panics")
    }
}

impl Topic {
    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("no holder panics")
    }
}

impl Recent {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn get(&self, place: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }

    /// Adds events that have not been told yet. Should there be some before them that were not either, then all who wait
    /// fall into a gap.
    fn tell(&mut self, events: &[Arc<Event>], after: Option<&Arc<Cluster>>) {
        match (&self.told, after) {
            (Told::Nothing, None) => return,
            // The end of the one before was not heard here.
            (Told::Cluster(old), Some(new)) if old.created_at != new.created_at => {
                let ends = old.delete(new.created_at).events;
                ends.into_iter().for_each(|end| self.push(Arc::new(end)));
                self.be_told(None);
                self.last = None;
            }
            _ => {}
        }
        for event in events {
            if self.last.is_some_and(|last| event.revision <= last) {
                continue;
            }
            if self.expected().is_some_and(|expected| event.revision > expected) {
                self.skip();
            }
            self.last = Some(event.revision);
            self.push(event.clone());
        }
        self.be_told(after);
        if after.is_none() {
            self.last = None;
        }
    }

    fn be_told(&mut self, after: Option<&Arc<Cluster>>) {
        self.seen = self.seen.take().filter(|seen| after.is_some_and(|after| is_later_state(seen, after)));
        self.told = after.map_or(Told::Nothing, |after| Told::Cluster(after.clone()));
    }

    /// Takes over what somebody has seen, and returns whether all who wait have to look for themselves because of that.
    fn know(&mut self, seen: Option<&Arc<Cluster>>) -> bool {
        match (&self.told, seen) {
            (Told::Unknown, None) => self.told = Told::Nothing,
            (Told::Unknown, Some(seen)) => self.told = Told::Cluster(seen.clone()),
            // What somebody else has seen was not told; whoever saw less must not wait for it.
            (Told::Cluster(told), Some(seen)) if seen.revision < told.revision && self.last < Some(told.revision) => {
                self.skip();
                return true;
            }
            (Told::Cluster(told), Some(seen)) if is_later_state(seen, self.seen.as_ref().unwrap_or(told)) => {
                self.seen = Some(seen.clone());
            }
            _ => {}
        }
        false
    }

    /// The revision of the next event at the latest, if that is known.
    fn expected(&self) -> Option<Revision> {
        match (&self.told, self.last) {
            (_, Some(last)) => Some(last.next()),
            (Told::Cluster(told), None) => Some(told.revision.next()),
            (Told::Nothing, None) => Some(Revision::FIRST),
            (Told::Unknown, None) => None,
        }
    }

    /// Leaves a gap, which all who have not come so far fall into.
    fn skip(&mut self) {
        self.first = self.end() + 1;
        self.events.clear();
        self.bytes = 0;
    }

    fn push(&mut self, event: Arc<Event>) {
        self.bytes += weight(&event);
        self.events.push_back(event);
        while self.bytes > RECENT_BYTES && self.events.len() > 1 {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| weight(&oldest));
            self.first += 1;
        }
    }
}

impl Told {
    /// Which state it is.
    pub(super) fn stamp(&self) -> Option<Option<Stamp>> {
        match self {
            Self::Unknown => None,
            Self::Nothing => Some(None),
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
    let held = event.held.iter().filter_map(|(_, previous)| previous.value.as_ref());
    let values = event.value.iter().chain(previous).chain(held).map(|value| value.len() + 64);
    mem::size_of::<Event>() + event.message.len() + values.sum::<usize>()
}

impl Subscription {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Heard {
        let topic = self.topic.clone();
        loop {
            // First listen, then look, so that nothing falls in between.
            let mut published = pin!(topic.published.notified());
            published.as_mut().enable();
            if let Some(heard) = self.heard() {
                return heard;
            }
            published.await;
        }
    }

    /// What comes next, if it is there already and is wanted.
    pub fn next_if(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Option<Arc<Event>> {
        let event = self.topic.lock().get(self.next).filter(|event| is_wanted(event)).cloned()?;
        self.next += 1;
        Some(event)
    }

    /// Looks for the cluster's deletion in what was heard already, and drops what came before it.
    pub fn deletion(&mut self) -> Option<Arc<Event>> {
        loop {
            match self.heard()? {
                Heard::Event(event) if event.kind == EventKind::ClusterDeleted => return Some(event),
                Heard::Event(_) | Heard::Missed => {}
            }
        }
    }

    fn heard(&mut self) -> Option<Heard> {
        let recent = self.topic.lock();
        if self.next < recent.first {
            self.next = recent.first;
            return Some(Heard::Missed);
        }
        let event = recent.get(self.next)?.clone();
        self.next += 1;
        Some(Heard::Event(event))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut all = self.topics.lock();
        if let Some(open) = all.get_mut(&self.token) {
            open.subscribers -= 1;
            if open.subscribers == 0 {
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

    fn publish(topics: &Topics, revision: u64) {
        topics.publish(&event(1).token, &[event(revision)], Some(&cluster(revision)));
    }

    fn hear(subscription: &mut Subscription) -> Option<Heard> {
        subscription.next().now_or_never()
    }

    #[test]
    fn a_topic_goes_with_its_last_subscriber() {
        let topics = Arc::new(Topics::default());
        let token: Token = "prod".parse().unwrap();
        let (one, two) = (topics.subscribe(&token, Told::Unknown), topics.subscribe(&token, Told::Unknown));
        drop(one);
        assert_eq!(topics.lock().len(), 1);
        drop(two);
        assert!(topics.lock().is_empty());
    }

    #[test]
    fn of_several_that_leave_at_once_one_is_the_last() {
        let topics = Arc::new(Topics::default());
        for round in 0..2_000 {
            let token: Token = format!("t{round}").parse().unwrap();
            let both = [topics.subscribe(&token, Told::Unknown), topics.subscribe(&token, Told::Unknown)];
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
        assert_eq!(topics.lock().len(), 0);
    }

    #[test]
    fn each_hears_what_comes_after_it() {
        let topics = Arc::new(Topics::default());
        let mut early = topics.subscribe(&event(1).token, Told::Unknown);
        publish(&topics, 1);
        let mut late = topics.subscribe(&event(1).token, Told::Unknown);
        assert!(matches!(hear(&mut early), Some(Heard::Event(_))));
        assert!(hear(&mut early).is_none() && hear(&mut late).is_none());
        publish(&topics, 2);
        assert!(matches!((hear(&mut early), hear(&mut late)), (Some(Heard::Event(_)), Some(Heard::Event(_)))));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Unknown);
        let waits = tokio::spawn(async move { matches!(subscription.next().await, Heard::Event(_)) });
        tokio::task::yield_now().await;
        publish(&topics, 1);
        assert!(waits.await.unwrap());
    }

    #[test]
    fn who_stands_still_is_told_once_that_it_has_missed_something_and_hears_the_rest() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Unknown);
        let many = 2 * RECENT_BYTES / weight(&event(2));
        (0..many).for_each(|n| publish(&topics, n as u64 + 1));
        assert!(subscription.topic.lock().bytes <= RECENT_BYTES);
        assert!(matches!(hear(&mut subscription), Some(Heard::Missed)));
        let rest =
            std::iter::from_fn(|| hear(&mut subscription)).map(|heard| assert!(matches!(heard, Heard::Event(_))));
        let rest = rest.count();
        assert!((many / 3..many * 2 / 3).contains(&rest), "{rest} of {many}");
    }

    #[test]
    fn what_is_told_twice_is_heard_once() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Cluster(cluster(1)));
        [2, 2].iter().for_each(|revision| publish(&topics, *revision));
        topics.import(&event(1).token, &Told::Cluster(cluster(2)), &[event(2)], Some(&cluster(2)));
        assert!(matches!(hear(&mut subscription), Some(Heard::Event(event)) if event.revision == Revision(2)));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn who_waits_is_told_that_something_is_missing_in_between() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Cluster(cluster(1)));
        publish(&topics, 4);
        assert!(matches!(hear(&mut subscription), Some(Heard::Missed)));
        assert!(matches!(hear(&mut subscription), Some(Heard::Event(event)) if event.revision == Revision(4)));
        topics.import(&event(1).token, &Told::Cluster(cluster(3)), &[event(5)], Some(&cluster(5)));
        assert!(hear(&mut subscription).is_none(), "something else was told meanwhile");
    }

    #[test]
    fn when_nobody_knew_how_a_cluster_was_all_look_for_themselves() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Unknown);
        topics.import(&event(1).token, &Told::Unknown, &[], Some(&cluster(7)));
        assert!(matches!(hear(&mut subscription), Some(Heard::Missed)));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn whoever_saw_less_than_another_does_not_wait_for_what_is_never_told() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Unknown);
        topics.know(&event(1).token, Some(&cluster(7)));
        assert!(hear(&mut subscription).is_none());
        topics.know(&event(1).token, Some(&cluster(6)));
        assert!(matches!(hear(&mut subscription), Some(Heard::Missed)));
        publish(&topics, 8);
        topics.know(&event(1).token, Some(&cluster(7)));
        assert!(matches!(hear(&mut subscription), Some(Heard::Event(_))));
        assert!(hear(&mut subscription).is_none());
    }

    #[test]
    fn what_somebody_has_seen_is_remembered_until_it_is_told() {
        let (topics, token) = (Arc::new(Topics::default()), &event(1).token);
        let _subscription = topics.subscribe(token, Told::Cluster(cluster(5)));
        let last_seen = || match topics.last_seen(token) {
            Some(Told::Cluster(cluster)) => cluster.revision.0,
            other => panic!("{other:?}"),
        };
        [7, 6].iter().for_each(|revision| topics.know(token, Some(&cluster(*revision))));
        assert_eq!(last_seen(), 7);
        publish(&topics, 6);
        assert_eq!(last_seen(), 7);
        publish(&topics, 8);
        assert_eq!(last_seen(), 8);
        let again = Arc::new(Cluster { created_at: UnixMillis(9), ..Cluster::clone(&cluster(9)) });
        topics.know(token, Some(&again));
        assert_eq!(last_seen(), 8, "the one that was told has an end of its own");
        topics.import(token, &Told::Cluster(cluster(8)), &[], None);
        assert!(matches!(topics.last_seen(token), Some(Told::Nothing)));
    }

    #[test]
    fn a_cluster_that_is_made_again_begins_anew() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Cluster(cluster(5)));
        let again = Arc::new(Cluster { created_at: UnixMillis(9), ..Cluster::clone(&cluster(2)) });
        topics.import(&event(1).token, &Told::Cluster(cluster(5)), &[event(1), event(2)], Some(&again));
        let heard: Vec<_> = std::iter::from_fn(|| hear(&mut subscription))
            .map(|heard| match heard {
                Heard::Event(event) => (event.kind, event.revision.0),
                Heard::Missed => panic!("nothing was missed"),
            })
            .collect();
        assert_eq!(heard, [(EventKind::ClusterDeleted, 6), (EventKind::ClusterCreated, 1), (EventKind::SizeSet, 2)]);
    }

    #[test]
    fn a_cluster_ends_once() {
        let topics = Arc::new(Topics::default());
        let mut subscription = topics.subscribe(&event(1).token, Told::Cluster(cluster(5)));
        let deletion = Arc::new(cluster(5).delete(UnixMillis(0)).events[0].clone());
        for _ in 0..2 {
            topics.publish(&event(1).token, std::slice::from_ref(&deletion), None);
        }
        assert!(matches!(hear(&mut subscription), Some(Heard::Event(_))));
        assert!(hear(&mut subscription).is_none());
    }
}
