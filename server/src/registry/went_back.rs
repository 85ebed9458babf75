use convene_lifecycle::{Actor, Cluster, Token, Transition, UnixMillis};
use futures_util::future::join_all;

use super::{Registry, WriteError, unavailable};
use crate::store::{ClusterFilter, Suspicion, WentBack};

/// The most clusters that are held at the same time.
const PAGE: u32 = 100;

impl Registry {
    /// Holds the founding of every cluster that does not exist yet if the database is an older copy of itself: the clusters
    /// may have formed in the time that was lost.
    ///
    /// Also forgets what is in memory then. A read takes nothing from memory that the database does not confirm, but while the
    /// database is down, memory is the only answer.
    pub async fn hold_if_database_went_back(&self) -> Result<(), WriteError> {
        if self.store.is_shared() && self.store.lacks_any(&self.recent_writes.all()).await.map_err(unavailable)? {
            self.store.suspect(Suspicion::WriteMissing);
        }
        let suspicion = self.store.suspicion();
        let held = self.hold_and_remember(suspicion).await;
        if held.is_ok() && suspicion != Suspicion::None {
            self.store.dispel(suspicion);
        }
        held
    }

    async fn hold_and_remember(&self, suspicion: Suspicion) -> Result<(), WriteError> {
        if suspicion != Suspicion::None {
            self.cache.clear();
            self.recent_writes.clear();
        }
        let went_back = match self.store.went_back().await.map_err(unavailable)? {
            None if suspicion == Suspicion::WriteMissing => Some(WentBack::WriteMissing),
            went_back => went_back,
        };
        if let Some(went_back) = went_back {
            let held = self.hold_unfounded().await?;
            tracing::error!(
                database = self.store.name(),
                held,
                "the database {} an older copy: {went_back}. Clusters that have not formed are held; for each of \
                 them, run `convene cluster adopt` if its etcd cluster exists, or else `convene cluster reset`",
                if went_back.is_certain() { "is" } else { "may be" },
            );
        }
        // Only now: a crash before must not forget it.
        Ok(self.store.remember_state().await.map_err(unavailable)?)
    }

    /// Waits until something speaks for a loss of writes in the database.
    pub async fn until_loss_is_suspected(&self) {
        self.store.until_suspicion().await;
    }

    async fn hold_unfounded(&self) -> Result<usize, WriteError> {
        let mut filter = ClusterFilter::default();
        let mut held = 0;
        loop {
            let (clusters, next) = self.store.list(&filter, PAGE).await.map_err(unavailable)?;
            let unfounded = clusters.iter().map(|summary| &summary.without_members);
            let unfounded = unfounded.filter(|cluster| !cluster.is_founded());
            // All at the same time, so that they share a commit.
            for is_held in join_all(unfounded.map(|cluster| self.hold(&cluster.token))).await {
                held += usize::from(is_held?);
            }
            filter.after = next;
            if filter.after.is_none() {
                return Ok(held);
            }
        }
    }

    async fn hold(&self, token: &Token) -> Result<bool, WriteError> {
        let decide = |cluster: Option<&Cluster>, at: UnixMillis| -> Result<Transition, ()> {
            cluster.and_then(|cluster| cluster.hold_after_going_back(at)).ok_or(())
        };
        Ok(self.update(token, &Actor::server(), decide).await?.is_ok())
    }
}
