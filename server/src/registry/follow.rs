use std::{collections::VecDeque, sync::Arc};

use convene_lifecycle::{Event, EventKind, Revision, Token};

use super::{Delivery, Registry, Subscription, Unavailable};

/// Follows a cluster's events in order, from the history into the present.
#[derive(Debug)]
pub struct Follower {
    token: Token,
    subscription: Subscription,
    /// The first revision that was not handed out yet.
    from: Revision,
    /// Events that are there already.
    pending: VecDeque<Arc<Event>>,
}

/// What a follower comes to.
#[derive(Debug)]
pub enum FollowStep {
    /// The next event. The last one of a cluster is its deletion.
    Event(Arc<Event>),
    /// Events that come next are gone from the history, which begins at a later revision.
    Compacted {
        /// The first that is still there.
        oldest: Revision,
    },
    /// The cluster has not come as far as the follower: it is yet to come there, or is not the one that was followed.
    FutureRevision {
        /// Where the cluster is.
        current: Revision,
    },
    /// There is no such cluster, and its end was not heard.
    NoCluster,
}

impl Follower {
    pub(super) fn new(token: Token, subscription: Subscription, from: Revision) -> Self {
        Self { token, subscription, from, pending: VecDeque::new() }
    }

    /// The next event if there is one already.
    pub async fn next_available(&mut self, registry: &Registry) -> Result<Option<FollowStep>, Unavailable> {
        if self.pending.is_empty() {
            self.read_history(registry).await?;
        }
        Ok(self.try_next())
    }

    /// What comes next, however long it takes.
    pub async fn next(&mut self, registry: &Registry) -> Result<FollowStep, Unavailable> {
        loop {
            if let Some(step) = self.try_next() {
                return Ok(step);
            }
            match self.subscription.next().await {
                // It is in no history, so nobody gets what they may have missed before it.
                Delivery::Event(event) if event.kind == EventKind::ClusterDeleted => self.pending.push_back(event),
                Delivery::Event(event) if event.revision == self.from => self.pending.push_back(event),
                Delivery::Event(event) if event.revision < self.from => {}
                _ => {
                    if let Some(step) = self.catch_up(registry).await? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// The first revision that is still remembered, if what comes next is not.
    pub async fn oldest_if_compacted(&mut self, registry: &Registry) -> Result<Option<Revision>, Unavailable> {
        self.read_history(registry).await?;
        Ok(self.pending.front().map(|first| first.revision).filter(|first| *first > self.from))
    }

    /// Goes on from another revision.
    pub fn resume_from(&mut self, from: Revision) {
        self.from = from;
        self.pending.clear();
    }

    async fn catch_up(&mut self, registry: &Registry) -> Result<Option<FollowStep>, Unavailable> {
        self.read_history(registry).await?;
        if !self.pending.is_empty() {
            return Ok(None);
        }
        let Some(snapshot) = registry.cluster(&self.token).await? else {
            return Ok(Some(self.subscription.deletion().map_or(FollowStep::NoCluster, FollowStep::Event)));
        };
        let current = snapshot.cluster.revision;
        Ok((current.next() < self.from).then_some(FollowStep::FutureRevision { current }))
    }

    /// What comes next, if it has been read or heard already.
    pub fn try_next(&mut self) -> Option<FollowStep> {
        if self.pending.is_empty() {
            self.take_delivered();
        }
        let event = self.pending.pop_front()?;
        if event.revision > self.from && event.kind != EventKind::ClusterDeleted {
            return Some(FollowStep::Compacted { oldest: event.revision });
        }
        self.from = event.revision.next();
        Some(FollowStep::Event(event))
    }

    /// Takes over the event that comes next, if it was heard already.
    fn take_delivered(&mut self) {
        let from = self.from;
        let is_wanted = |event: &Event| event.revision <= from || event.kind == EventKind::ClusterDeleted;
        while let Some(event) = self.subscription.next_if(is_wanted) {
            if event.revision == from || event.kind == EventKind::ClusterDeleted {
                self.pending.push_back(event);
                return;
            }
        }
    }

    async fn read_history(&mut self, registry: &Registry) -> Result<(), Unavailable> {
        self.pending = registry.history(&self.token, self.from).await?.into();
        Ok(())
    }
}
