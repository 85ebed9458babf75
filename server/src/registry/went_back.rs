use convene_lifecycle::{Cluster, Token, Transition, UnixMillis};
use futures_util::future::join_all;

use super::{Registry, WriteError, unavailable};
use crate::store::ClusterFilter;

/// The most clusters that are held at the same time.
const PAGE: u32 = 100;

impl Registry {
    /// Holds the founding of every cluster that does not exist yet if the database is an older copy of itself: the clusters
    /// may have formed in the time that was lost.
    pub async fn hold_if_database_went_back(&self) -> Result<(), WriteError> {
        if let Some(went_back) = self.store.went_back().await.map_err(unavailable)? {
            let held = self.hold_unfounded().await?;
            tracing::error!(
                database = self.store.name(),
                held,
                "the database is an older copy: {went_back}. Clusters that have not formed are held; for each of \
                 them, run `convene cluster adopt` if its etcd cluster exists, or else `convene cluster reset`"
            );
        }
        // Only now: a crash before must not forget it.
        Ok(self.store.remember_state().await.map_err(unavailable)?)
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
        Ok(self.update(token, decide).await?.is_ok())
    }
}
