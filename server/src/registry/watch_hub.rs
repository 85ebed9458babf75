//! Delivers a cluster's events to long polls, v3 watches, event streams and held check-ins.
//!
//! A [`Subscription`] is a position in a cluster's [`Feed`]. The feed keeps the latest events once for all subscribers and
//! nothing for any single one, so a subscriber that is slow or never reads costs nothing. One that falls too far behind
//! gets [`Delivery::Lagged`] and reads the history in the database.

mod recent_events;

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
};

use convene_lifecycle::{Event, EventKind, Token, UnixMillis};
use tokio::sync::Notify;

use super::Snapshot;
use crate::{metrics::OpenWait, store::Stamp};

pub(super) use recent_events::DeliveredState;
use recent_events::RecentEvents;

/// The feeds of all clusters that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct WatchHub {
    /// Exactly the tokens that have a [`Subscription`]. [`WatchHub::subscribe`] adds an entry, and dropping the last
    /// subscription removes it.
    feeds: Mutex<HashMap<Token, HubEntry>>,
}

#[derive(Debug, Default)]
struct HubEntry {
    /// Shared with the subscriptions, so that waiting needs no lock of the hub.
    feed: Arc<Feed>,
    /// How many subscriptions the feed has, at least 1. It is counted under the lock of `feeds`, not by the `Arc`: if several
    /// subscriptions end at the same time, exactly one of them must find itself to be the last.
    subscribers: usize,
}

/// The events of one cluster, for everyone who waits for it.
#[derive(Debug, Default)]
struct Feed {
    /// Locked for moments only, never across an `await`. If the hub is locked as well, the hub comes first.
    recent: Mutex<RecentEvents>,
    /// Wakes the subscriptions after `recent` has changed: a new event, or a gap. A read that changes nothing for them wakes
    /// nobody.
    changed: Notify,
}

/// One waiter's position in a cluster's events. The feed lasts for as long as it has subscriptions.
#[derive(Debug)]
pub struct Subscription {
    token: Token,
    feed: Arc<Feed>,
    /// The index of the next event to deliver, as [`RecentEvents`] counts them. It only grows. If it is below the feed's first
    /// index, the subscriber has lagged.
    next_index: u64,
    /// How many losses the subscriber knows of, as [`RecentEvents`] counts them.
    losses: u64,
    /// To remove the feed with its last subscription.
    hub: Arc<WatchHub>,
    /// Counts the waiter as long as the subscription lasts.
    open: Option<OpenWait>,
}

/// What the waiting clients of a cluster know of it.
#[derive(Debug)]
pub(super) struct KnownStates {
    /// The state up to which all events have been delivered.
    pub(super) delivered: DeliveredState,
    /// The latest state that was delivered or read.
    pub(super) latest: DeliveredState,
}

/// What a subscription delivers.
#[derive(Debug)]
pub enum Delivery {
    /// The next event.
    Event(Arc<Event>),
    /// The feed no longer has the next event, or never had it. The history in the database may have it.
    Lagged,
    /// The database has lost events that were delivered, or that the subscriber has read. Those of other writes have their
    /// revisions. Events of the new history follow, from the present state on.
    HistoryLost,
}

impl WatchHub {
    /// Subscribes to a cluster's events from now on. `delivered` is what the caller knows of the cluster; it counts only if
    /// nobody else is subscribed.
    pub(super) fn subscribers(&self, token: &Token) -> usize {
        self.lock().get(token).map_or(0, |entry| entry.subscribers)
    }

    pub(super) fn subscribe(self: &Arc<Self>, token: &Token, delivered: DeliveredState) -> Subscription {
        let feed = {
            let mut feeds = self.lock();
            let entry = feeds.entry(token.clone()).or_default();
            if entry.subscribers == 0 {
                entry.feed.lock().start_from(delivered);
            }
            entry.subscribers += 1;
            entry.feed.clone()
        };
        let (next_index, losses) = {
            let recent = feed.lock();
            (recent.end_index(), recent.losses())
        };
        Subscription { token: token.clone(), feed, next_index, losses, hub: self.clone(), open: None }
    }

    /// Delivers the events of a change that this server has committed. `after` is the cluster after it; `None` if it was
    /// deleted.
    pub(super) fn publish(&self, token: &Token, events: &[Arc<Event>], after: Option<&Arc<Snapshot>>) {
        self.change_if(token, |_| true, |recent| recent.deliver(events, after));
    }

    /// [`WatchHub::publish`] on a database that other servers write to as well, for a change of the state `base`. Returns `false`
    /// and does nothing if another state has been delivered: changes by other servers are missing in between, or the database
    /// has lost what was delivered. The caller has to look.
    #[must_use]
    pub(super) fn publish_on(
        &self,
        token: &Token,
        base: Option<Stamp>,
        events: &[Arc<Event>],
        after: Option<&Arc<Snapshot>>,
    ) -> bool {
        self.change_if(token, |recent| recent.is_at(base), |recent| recent.deliver(events, after))
    }

    /// Delivers the events of a change that another server has committed, and that lead from the state `before` to `after`.
    /// Returns `false` and does nothing if the feed is not in the state `before` any more; then the caller has to look again.
    #[must_use]
    pub(super) fn publish_replicated(
        &self,
        token: &Token,
        before: &DeliveredState,
        events: &[Arc<Event>],
        after: Option<&Arc<Snapshot>>,
    ) -> bool {
        self.change_if_in(before, token, |recent| recent.deliver_replicated(before, events, after))
    }

    /// Delivers the deletion of a cluster by another server. The history is deleted with the cluster, so the event is made from
    /// the latest state that this server has delivered or returned to a reader. Returns `false` and does nothing if the feed is
    /// not in the state `before` any more.
    #[must_use]
    pub(super) fn publish_replicated_deletion(&self, token: &Token, before: &DeliveredState, at: UnixMillis) -> bool {
        self.change_if_in(before, token, |recent| recent.deliver_replicated_deletion(before, at))
    }

    /// Makes all subscribers begin again with the present state, because the database has lost the state `before`. Returns `false`
    /// and does nothing if the feed is not in that state any more.
    #[must_use]
    pub(super) fn forget(&self, token: &Token, before: &DeliveredState, present: &Arc<Snapshot>) -> bool {
        self.change_if_in(before, token, |recent| recent.forget(present))
    }

    /// Takes note of a state that somebody has read who may wait for the changes after it. Returns `false` if the deletion of
    /// that cluster has been delivered since: the reader would wait for the deletion in vain, so it must not see the state.
    #[must_use]
    pub(super) fn record_read(&self, token: &Token, read: Option<&Arc<Snapshot>>) -> bool {
        let Some(feed) = self.feed(token) else { return true };
        let mut recent = feed.lock();
        if read.is_some_and(|read| recent.has_delivered_deletion_of(read.stamp())) {
            return false;
        }
        let has_left_gap = recent.record_read(read);
        drop(recent);
        if has_left_gap {
            feed.changed.notify_waiters();
        }
        true
    }

    /// Changes a feed that somebody waits for, unless its state forbids it. Returns `false` if that is so.
    fn change_if(
        &self,
        token: &Token,
        is_allowed: impl FnOnce(&RecentEvents) -> bool,
        change: impl FnOnce(&mut RecentEvents),
    ) -> bool {
        let Some(feed) = self.feed(token) else { return true };
        let mut recent = feed.lock();
        if !is_allowed(&recent) {
            return false;
        }
        change(&mut recent);
        drop(recent);
        feed.changed.notify_waiters();
        true
    }

    fn change_if_in(&self, state: &DeliveredState, token: &Token, change: impl FnOnce(&mut RecentEvents)) -> bool {
        self.change_if(token, |recent| recent.delivered().stamp() == state.stamp(), change)
    }

    /// Whether the deletion of the cluster with a stamp has been delivered.
    pub(super) fn has_delivered_deletion_of(&self, token: &Token, stamp: Stamp) -> bool {
        self.feed(token).is_some_and(|feed| feed.lock().has_delivered_deletion_of(stamp))
    }

    /// The clusters that somebody waits for.
    pub(super) fn watched_tokens(&self) -> Vec<Token> {
        self.lock().keys().cloned().collect()
    }

    /// What its waiting clients know of a cluster; `None` if nobody waits for it.
    pub(super) fn known(&self, token: &Token) -> Option<KnownStates> {
        let feed = self.feed(token)?;
        let recent = feed.lock();
        Some(KnownStates { delivered: recent.delivered().clone(), latest: recent.latest_state() })
    }

    /// The latest state of a cluster that has been delivered or read; `None` if nobody waits for it.
    pub(super) fn latest_state(&self, token: &Token) -> Option<DeliveredState> {
        self.feed(token).map(|feed| feed.lock().latest_state())
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

impl Subscription {
    /// The same, counted as an open wait.
    pub(super) fn counted(mut self, open: OpenWait) -> Self {
        self.open = Some(open);
        self
    }

    /// Waits for the next delivery.
    pub async fn next(&mut self) -> Delivery {
        let feed = self.feed.clone();
        loop {
            // Registers before it looks, so that a change in between wakes it.
            let mut changed = pin!(feed.changed.notified());
            changed.as_mut().enable();
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            changed.await;
        }
    }

    /// The next event, if the feed has it and it is wanted.
    pub fn next_if(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Option<Arc<Event>> {
        let event = self.feed.lock().get(self.next_index).filter(|event| is_wanted(event)).cloned()?;
        self.next_index += 1;
        Some(event)
    }

    /// The deletion of the cluster, if it has been delivered. Skips all events before it.
    pub fn deletion(&mut self) -> Option<Arc<Event>> {
        loop {
            match self.try_next()? {
                Delivery::Event(event) if event.kind == EventKind::ClusterDeleted => return Some(event),
                Delivery::Event(_) | Delivery::Lagged | Delivery::HistoryLost => {}
            }
        }
    }

    /// Whether the deletion of the cluster is still to be delivered, if the database no longer has the cluster: the feed ends
    /// with a state of the cluster.
    pub fn expects_deletion(&self) -> bool {
        matches!(self.feed.lock().delivered(), DeliveredState::Cluster(_))
    }

    fn try_next(&mut self) -> Option<Delivery> {
        let recent = self.feed.lock();
        if self.losses != recent.losses() {
            (self.losses, self.next_index) = (recent.losses(), recent.first_index());
            return Some(Delivery::HistoryLost);
        }
        if self.next_index < recent.first_index() {
            self.next_index = recent.first_index();
            return Some(Delivery::Lagged);
        }
        let event = recent.get(self.next_index)?.clone();
        self.next_index += 1;
        Some(Delivery::Event(event))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut feeds = self.hub.lock();
        if let Some(entry) = feeds.get_mut(&self.token) {
            entry.subscribers -= 1;
            if entry.subscribers == 0 {
                feeds.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests;
