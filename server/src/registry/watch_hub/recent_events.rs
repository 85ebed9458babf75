use std::{collections::VecDeque, mem, sync::Arc};

use convene_lifecycle::{Event, Revision, UnixMillis};

use crate::{registry::Snapshot, store::Stamp};

/// The memory for one cluster's latest events, in bytes, approximately. A subscriber that is further behind reads the history
/// in the database.
pub(super) const RECENT_BYTES: usize = 256 << 10;

/// The latest events of one cluster, and how far they go.
///
/// Each event has an index, in the order of delivery over all clusters that ever had the token. An index is never used twice;
/// the revisions of a new cluster start again from 1. All methods keep what the fields promise.
#[derive(Debug, Default)]
pub(super) struct RecentEvents {
    /// The events that are kept, oldest first. The one at position `i` has the index `first_index + i`. The revisions of one
    /// cluster's events grow by one from each to the next: where one is missing, [`RecentEvents::leave_gap`] has emptied the
    /// list.
    events: VecDeque<Arc<Event>>,
    /// What `events` weigh, at most [`RECENT_BYTES`] unless there is only one.
    bytes: usize,
    /// The index of `events[0]`, or of the next event if there is none. It grows when [`RecentEvents::push`] drops the oldest
    /// event, and when a gap is left. A gap skips one index that no event has, so that the subscribers who have everything
    /// lag as well.
    first_index: u64,
    /// All events up to this state have been delivered, or came before the first subscriber. It is `Unknown` until somebody
    /// reads the cluster, or until a change is published. After that it never becomes `Unknown` again, and goes back to an
    /// earlier state only if the database does.
    delivered: DeliveredState,
    /// A state of the delivered cluster that somebody has read, and whose events have not been delivered yet. Set by
    /// [`RecentEvents::record_read`] only, and cleared when `delivered` reaches it. No subscriber may be left to believe that
    /// the cluster is older than this, for example when its deletion is delivered.
    read_ahead: Option<Arc<Snapshot>>,
    /// The revision of the last event that was delivered of the present cluster; `None` if none was. It may be behind
    /// `delivered`, whose revision can come from a read.
    last_revision: Option<Revision>,
    /// When the cluster was created whose deletion was delivered last; `None` if none was, or if another cluster was delivered
    /// since. [`Stamp`] identifies a token's clusters by that time, too.
    deleted: Option<UnixMillis>,
    /// How often the database has lost what had been delivered.
    losses: u64,
}

/// How far the events of a cluster have been delivered.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) enum DeliveredState {
    /// Not known yet.
    #[default]
    Unknown,
    /// There is no such cluster.
    NoCluster,
    /// Up to this state of the cluster.
    Cluster(Arc<Snapshot>),
}

impl RecentEvents {
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The index of the next event.
    pub fn end_index(&self) -> u64 {
        self.first_index + self.events.len() as u64
    }

    pub fn losses(&self) -> u64 {
        self.losses
    }

    pub fn get(&self, index: u64) -> Option<&Arc<Event>> {
        self.events.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    pub fn delivered(&self) -> &DeliveredState {
        &self.delivered
    }

    /// The latest state that has been delivered or read.
    pub fn latest_state(&self) -> DeliveredState {
        self.read_ahead.clone().map_or_else(|| self.delivered.clone(), DeliveredState::Cluster)
    }

    /// Sets what the first subscriber knows.
    pub fn start_from(&mut self, delivered: DeliveredState) {
        self.delivered = delivered;
    }

    /// Whether the events after a state can be delivered without looking at the database: the state has been delivered, or none
    /// is known.
    pub fn is_at(&self, base: Option<Stamp>) -> bool {
        self.delivered.stamp().is_none_or(|delivered| delivered == base)
    }

    /// Begins again with the present state, because the database has lost what was delivered.
    pub fn forget(&mut self, present: &Arc<Snapshot>) {
        self.leave_gap();
        (self.read_ahead, self.deleted) = (None, None);
        self.set_delivered(Some(present));
        self.last_revision = Some(present.cluster.revision);
        self.losses += 1;
    }

    /// Adds the events that have not been delivered yet. If events are missing before them, all subscribers lag.
    pub fn deliver(&mut self, events: &[Arc<Event>], after: Option<&Arc<Snapshot>>) {
        match (&self.delivered, after) {
            // The deletion has been delivered already.
            (DeliveredState::NoCluster, None) => return,
            (DeliveredState::Cluster(old), Some(new)) if !is_of_one_cluster(old, new) => {
                // Another server has deleted the old cluster and created a new one, and nobody here has seen the deletion.
                let deletion = self.read_ahead.as_ref().unwrap_or(old).cluster.delete(new.cluster.created_at).events;
                deletion.into_iter().for_each(|event| self.push(Arc::new(event)));
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

    /// See [`WatchHub::publish_replicated`](super::WatchHub::publish_replicated).
    pub fn deliver_replicated(
        &mut self,
        before: &DeliveredState,
        events: &[Arc<Event>],
        after: Option<&Arc<Snapshot>>,
    ) {
        if matches!(before, DeliveredState::Unknown) {
            // Nobody knows which events the subscribers miss, so all of them read the history.
            self.leave_gap();
            self.set_delivered(after);
            self.last_revision = after.map(|after| after.cluster.revision);
        } else {
            self.deliver(events, after);
        }
    }

    /// See [`WatchHub::publish_replicated_deletion`](super::WatchHub::publish_replicated_deletion).
    pub fn deliver_replicated_deletion(&mut self, before: &DeliveredState, at: UnixMillis) {
        let deletion = match self.latest_state() {
            DeliveredState::Cluster(latest) => latest.cluster.delete(at).events,
            DeliveredState::NoCluster | DeliveredState::Unknown => Vec::new(),
        };
        let deletion: Vec<Arc<Event>> = deletion.into_iter().map(Arc::new).collect();
        self.deliver_replicated(before, &deletion, None);
    }

    /// Whether the deletion of the cluster with a stamp has been delivered.
    pub fn has_delivered_deletion_of(&self, stamp: Stamp) -> bool {
        self.deleted == Some(stamp.created_at)
    }

    /// Takes note of a state that somebody has read. Returns whether a gap was left, of which the subscribers must hear.
    pub fn record_read(&mut self, read: Option<&Arc<Snapshot>>) -> bool {
        match (&self.delivered, read) {
            (DeliveredState::Unknown, None) => self.delivered = DeliveredState::NoCluster,
            (DeliveredState::Unknown, Some(read)) => self.delivered = DeliveredState::Cluster(read.clone()),
            // `delivered` comes from another read, so the events between the two states will never be delivered, and this
            // reader would wait for them.
            (DeliveredState::Cluster(delivered), Some(read))
                if read.cluster.revision < delivered.cluster.revision
                    && self.last_revision < Some(delivered.cluster.revision) =>
            {
                self.leave_gap();
                return true;
            }
            (DeliveredState::Cluster(delivered), Some(read))
                if is_later_state(read, self.read_ahead.as_ref().unwrap_or(delivered)) =>
            {
                self.read_ahead = Some(read.clone());
            }
            _ => {}
        }
        false
    }

    fn set_delivered(&mut self, after: Option<&Arc<Snapshot>>) {
        self.deleted = match (&self.delivered, after) {
            (DeliveredState::Cluster(old), None) => Some(old.cluster.created_at),
            (_, None) => self.deleted,
            (_, Some(_)) => None,
        };
        self.read_ahead = self.read_ahead.take().filter(|read| after.is_some_and(|after| is_later_state(read, after)));
        self.delivered = after.map_or(DeliveredState::NoCluster, |after| DeliveredState::Cluster(after.clone()));
    }

    /// The revision of the next event; an event with a later one shows that others are missing. `None` if it is not known.
    fn next_revision(&self) -> Option<Revision> {
        match (&self.delivered, self.last_revision) {
            (_, Some(last)) => Some(last.next()),
            (DeliveredState::Cluster(delivered), None) => Some(delivered.cluster.revision.next()),
            (DeliveredState::NoCluster, None) => Some(Revision::FIRST),
            (DeliveredState::Unknown, None) => None,
        }
    }

    /// Makes all present subscribers lag.
    fn leave_gap(&mut self) {
        self.first_index = self.end_index() + 1;
        self.events.clear();
        self.bytes = 0;
    }

    fn push(&mut self, event: Arc<Event>) {
        self.bytes += event_bytes(&event);
        self.events.push_back(event);
        while self.bytes > RECENT_BYTES && self.events.len() > 1 {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| event_bytes(&oldest));
            self.first_index += 1;
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl DeliveredState {
    /// Identifies the state: `None` if it is not known, `Some(None)` if there is no cluster.
    pub fn stamp(&self) -> Option<Option<Stamp>> {
        match self {
            Self::Unknown => None,
            Self::NoCluster => Some(None),
            Self::Cluster(snapshot) => Some(Some(snapshot.stamp())),
        }
    }
}

/// Whether `one` is a later state of the same cluster. Another cluster under the same token is none.
fn is_later_state(one: &Snapshot, other: &Snapshot) -> bool {
    is_of_one_cluster(one, other) && one.cluster.revision > other.cluster.revision
}

fn is_of_one_cluster(one: &Snapshot, other: &Snapshot) -> bool {
    one.cluster.created_at == other.cluster.created_at
}

/// The memory that an event takes, in bytes, approximately.
pub(super) fn event_bytes(event: &Event) -> usize {
    let previous = event.previous.as_ref().and_then(|previous| previous.value.as_ref());
    let held = event.also_deleted.iter().filter_map(|(_, previous)| previous.value.as_ref());
    let values = event.value.iter().chain(previous).chain(held).map(|value| value.len() + 64);
    mem::size_of::<Event>() + event.message.len() + values.sum::<usize>()
}
