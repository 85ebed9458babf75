use std::time::Duration;

use super::{Store, StoreError, statement::Statement};

/// How many clusters there are. Each one is in one of the first four counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// Nodes are missing.
    pub forming: i64,
    /// Not formed, and held: another etcd cluster may exist.
    pub held: i64,
    /// All founders are known; the etcd cluster has not been seen.
    pub formed: i64,
    /// The etcd cluster has been seen to exist.
    pub bootstrapped: i64,
    /// Membership changes are paused, in whatever phase.
    pub paused: i64,
}

impl Store {
    /// How many clusters there are.
    pub async fn cluster_count(&self) -> Result<u64, StoreError> {
        let text = "select count(*) as clusters from cluster";
        let row = self.read(async |reader| Ok(reader.fetch_one(Statement::new(text)).await?)).await?;
        let clusters: i64 = row.try_get("clusters")?;
        Ok(clusters.try_into().unwrap_or(0))
    }

    /// Counts the clusters. Reads every row of their table, within a time limit.
    pub async fn count_clusters(&self, limit: Duration) -> Result<ClusterCounts, StoreError> {
        let text = "select count(*) as clusters, \
                    count(bootstrapped_revision) as bootstrapped, \
                    count(case when bootstrapped_revision is null and formed_revision is not null then 1 end) as formed, \
                    count(case when bootstrapped_revision is null and formed_revision is null \
                    and held_since is not null then 1 end) as held, \
                    count(case when paused <> 0 then 1 end) as paused from cluster";
        let row = self.read_within(limit, async |reader| Ok(reader.fetch_one(Statement::new(text)).await?)).await?;
        let count = |column: &'static str| row.try_get(column);
        let clusters: i64 = count("clusters")?;
        let (held, formed, bootstrapped) = (count("held")?, count("formed")?, count("bootstrapped")?);
        let forming = clusters - held - formed - bootstrapped;
        Ok(ClusterCounts { forming, held, formed, bootstrapped, paused: count("paused")? })
    }
}
