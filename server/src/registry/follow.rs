use std::{collections::VecDeque, sync::Arc};

use convene_lifecycle::{Event, EventKind, Revision, Token};

use super::{Delivery, Registry, Subscription, Unavailable};

/// Follows a cluster's events in order, from the history in the database into the present.
#[derive(Debug)]
pub struct Follower {
    token: Token,
    subscription: Subscription,
    /// The revision of the next event.
    from: Revision,
    /// Events that have been read or delivered and not returned yet.
    pending: VecDeque<Arc<Event>>,
}

/// A step of a [`Follower`].
#[derive(Debug)]
pub enum FollowStep {
    /// The next event. The last event of a cluster is its deletion.
    Event(Arc<Event>),
    /// The next events have been compacted.
    Compacted {
        /// The first revision that the history still has.
        oldest: Revision,
    },
    /// The follower is at a revision that the cluster has not reached yet. It may also be another cluster than the one that was
    /// followed.
    FutureRevision {
        /// The cluster's revision.
        current: Revision,
    },
    /// The database has lost events that were returned, or that came before the first one to return. Revisions from before
    /// mean nothing any more, so who follows has to begin again.
    HistoryLost,
    /// There is no such cluster, and no deletion will be delivered.
    NoCluster,
}

impl Follower {
    pub(super) fn new(token: Token, subscription: Subscription, from: Revision) -> Self {
        Self { token, subscription, from, pending: VecDeque::new() }
    }

    /// The next step, if it needs no waiting for an event.
    pub async fn next_available(&mut self, registry: &Registry) -> Result<Option<FollowStep>, Unavailable> {
        if self.pending.is_empty() {
            self.read_history(registry).await?;
        }
        Ok(self.try_next())
    }

    /// Waits for the next step.
    pub async fn next(&mut self, registry: &Registry) -> Result<FollowStep, Unavailable> {
        loop {
            if let Some(step) = self.try_next() {
                return Ok(step);
            }
            match self.subscription.next().await {
                // The history is deleted with the cluster, so events that were missed before are lost.
                Delivery::Event(event) if event.kind == EventKind::ClusterDeleted => self.pending.push_back(event),
                Delivery::Event(event) if event.revision == self.from => self.pending.push_back(event),
                Delivery::Event(event) if event.revision < self.from => {}
                Delivery::HistoryLost => return Ok(FollowStep::HistoryLost),
                _ => {
                    if let Some(step) = self.catch_up(registry).await? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// The first revision that the history has, if the next event has been compacted.
    pub async fn oldest_if_compacted(&mut self, registry: &Registry) -> Result<Option<Revision>, Unavailable> {
        self.read_history(registry).await?;
        Ok(self.pending.front().map(|first| first.revision).filter(|first| *first > self.from))
    }

    /// Continues from another revision.
    pub fn resume_from(&mut self, from: Revision) {
        self.from = from;
        self.pending.clear();
    }

    /// Reads what the subscription does not have. Returns a step if the follower can't continue; otherwise events are pending,
    /// or are still to be delivered.
    async fn catch_up(&mut self, registry: &Registry) -> Result<Option<FollowStep>, Unavailable> {
        self.read_history(registry).await?;
        if !self.pending.is_empty() {
            return Ok(None);
        }
        let Some(snapshot) = registry.cluster(&self.token).await? else {
            // The database is ahead of the watch hub, which delivers a deletion only after the commit, and the deletion by
            // another server later still. This is checked first, so that a deletion in between is found below.
            if self.subscription.expects_deletion() {
                return Ok(None);
            }
            return Ok(Some(self.subscription.deletion().map_or(FollowStep::NoCluster, FollowStep::Event)));
        };
        let current = snapshot.cluster.revision;
        Ok((current.next() < self.from).then_some(FollowStep::FutureRevision { current }))
    }

    /// The next step, if its event has been read or delivered already.
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

    /// Takes the next event from the subscription, if it has been delivered.
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

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Actor, Settings, UnixMillis};
    use sqlx::ConnectOptions;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        metrics::WaitKind,
        registry::{Snapshot, watch_hub::DeliveredState},
        store::{DatabaseLimits, Store},
    };

    /// A registry, and the first state of its cluster, which another server deletes: the database no longer has the
    /// cluster, and the watch hub has not delivered the deletion.
    struct DeletedElsewhere {
        _dir: TempDir,
        registry: Registry,
        cluster: Arc<Snapshot>,
        follower: Follower,
    }

    impl DeletedElsewhere {
        async fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let file = dir.path().join("c.db");
            let url = format!("sqlite:{}", file.display());
            let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
            let (registry, _) = Registry::start(Arc::new(store), crate::registry::QuotaLimits::NONE).await;
            let token: Token = "one".parse().unwrap();
            registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
            let follower = registry.follow(&token, Revision::FIRST.next(), WaitKind::Events);

            let mut database = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
            sqlx::query("delete from cluster where token = 'one'").execute(&mut database).await.unwrap();
            let (_, cluster) = registry.cache.remove(&token).unwrap();
            Self { _dir: dir, registry, cluster, follower }
        }

        /// Publishes the deletion, as replication does when it learns of the deletion.
        fn replicate_deletion(&self) -> Arc<Event> {
            let Snapshot { cluster, .. } = &*self.cluster;
            let before = DeliveredState::Cluster(self.cluster.clone());
            let deletion = Arc::new(cluster.delete(UnixMillis(9)).events[0].clone());
            let events = std::slice::from_ref(&deletion);
            assert!(self.registry.watch_hub.publish_replicated(&cluster.token, &before, events, None));
            deletion
        }
    }

    #[tokio::test]
    async fn a_follower_that_lags_before_the_deletion_is_delivered_waits_for_the_deletion() {
        let mut test = DeletedElsewhere::new().await;
        let step = test.follower.catch_up(&test.registry).await.unwrap();
        assert!(step.is_none(), "{step:?}");
        let deletion = test.replicate_deletion();
        let step = test.follower.next(&test.registry).await.unwrap();
        assert!(matches!(&step, FollowStep::Event(event) if *event == deletion), "{step:?}");
    }

    #[tokio::test]
    async fn a_follower_that_lags_after_the_deletion_is_delivered_receives_the_deletion() {
        let mut test = DeletedElsewhere::new().await;
        let deletion = test.replicate_deletion();
        let step = test.follower.catch_up(&test.registry).await.unwrap();
        assert!(matches!(&step, Some(FollowStep::Event(event)) if *event == deletion), "{step:?}");
        let step = test.follower.catch_up(&test.registry).await.unwrap();
        assert!(matches!(step, Some(FollowStep::NoCluster)), "the deletion is delivered once: {step:?}");
    }
}
