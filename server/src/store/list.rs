use std::{collections::BTreeSet, fmt, str::FromStr, sync::LazyLock};

use convene_lifecycle::{Cluster, ClusterName, PublicId, UnixMillis};

use super::{
    Store, StoreError,
    columns::{CLUSTER, read_cluster},
    connection::Row,
    read::token,
    statement::Statement,
};

/// Which clusters to list. `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct ClusterFilter {
    /// Clusters after this position.
    pub after: Option<Cursor>,
    /// Clusters with this name.
    pub name: Option<ClusterName>,
    /// Clusters that have formed, or that have not.
    pub formed: Option<bool>,
    /// Clusters that are paused, or that are not.
    pub paused: Option<bool>,
    /// Clusters with one of these IDs.
    pub ids: Option<BTreeSet<PublicId>>,
}

/// A cluster in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSummary {
    /// The cluster with an empty record.
    pub without_members: Cluster,
    /// How many voters it has.
    pub voter_count: usize,
    /// How many learners it has.
    pub learner_count: usize,
}

/// A position in the list of all clusters: 16 hexadecimal digits without a meaning for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

/// A text is not a [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

static SELECT_SUMMARIES: LazyLock<String> = LazyLock::new(|| {
    let columns = CLUSTER.names();
    format!(
        "select {columns}, id, token, created_at, \
         (select count(*) from member where cluster = cluster.id and removed_revision is null) as member_count, \
         (select count(*) from member where cluster = cluster.id and removed_revision is null and member.learner <> 0) \
         as learner_count from cluster where id > "
    )
});

impl Store {
    /// At most `limit` clusters, in the order of their creation, and the start of the next page if there are more. Counts the
    /// members and does not read them: a page of clusters may have a million of them.
    pub async fn list(
        &self,
        filter: &ClusterFilter,
        limit: u32,
    ) -> Result<(Vec<ClusterSummary>, Option<Cursor>), StoreError> {
        let query = select(filter, limit);
        let rows = self.read(async |reader| Ok(reader.fetch_all(query).await?)).await?;
        let is_more = rows.len() > limit as usize;
        let mut clusters = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows.iter().take(limit as usize) {
            last = Some(Cursor(row.try_get("id")?));
            match summary(row) {
                Ok(cluster) => clusters.push(cluster),
                // An operator who looks for the corrupt cluster needs to see the others.
                Err(error) => tracing::error!(%error, "can't read a cluster; the list is incomplete"),
            }
        }
        Ok((clusters, last.filter(|_| is_more)))
    }
}

/// The clusters of a page and one more. Each condition has an index, except that clusters are not paused: nearly all fulfil that.
fn select(filter: &ClusterFilter, limit: u32) -> Statement<'static> {
    let mut query = Statement::new(&*SELECT_SUMMARIES);
    query.push_value(filter.after.map_or(i64::MIN, |Cursor(id)| id));
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_value(name.to_string());
    }
    match filter.formed {
        Some(true) => query.push(" and formed_revision is not null"),
        Some(false) => query.push(" and formed_revision is null"),
        None => &mut query,
    };
    match filter.paused {
        Some(true) => query.push(" and paused <> 0"),
        Some(false) => query.push(" and paused = 0"),
        None => &mut query,
    };
    if let Some(ids) = &filter.ids {
        // No list is empty in SQL, and no cluster has this ID.
        let ids = ids.iter().chain([&PublicId::UNASSIGNED]).map(|PublicId(id)| *id);
        query.push(" and id").push_in(ids);
    }
    query.push(" order by id limit ").push_value(i64::from(limit) + 1);
    query
}

fn summary(row: &Row) -> Result<ClusterSummary, StoreError> {
    let (members, learners): (i64, i64) = (row.try_get("member_count")?, row.try_get("learner_count")?);
    Ok(ClusterSummary {
        without_members: read_cluster(
            PublicId(row.try_get("id")?),
            token(row)?,
            UnixMillis(row.try_get("created_at")?),
            row,
            0,
        )?,
        voter_count: (members - learners) as usize,
        learner_count: learners as usize,
    })
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(CursorError)?;
        Ok(Self(number as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DatabaseLimits;

    /// A list of few clusters must not read all of them.
    #[tokio::test]
    async fn a_list_with_a_filter_reads_an_index_of_what_it_looks_for() {
        let dir = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("c.db").display());
        let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
        let name = Some("prod".parse().unwrap());
        let all = ClusterFilter::default;
        let one_cluster = Some(BTreeSet::from([PublicId(1)]));
        for (filter, index) in [
            (all(), "INTEGER PRIMARY KEY (rowid>?)"),
            (ClusterFilter { name: name.clone(), ..all() }, "INDEX cluster_name (name=? AND id>?)"),
            (ClusterFilter { formed: Some(true), ..all() }, "INDEX cluster_formed (id>?)"),
            (ClusterFilter { formed: Some(false), ..all() }, "INDEX cluster_forming (id>?)"),
            (ClusterFilter { paused: Some(true), ..all() }, "INDEX cluster_paused (id>?)"),
            (ClusterFilter { paused: Some(true), formed: Some(false), ..all() }, "INDEX cluster_paused (id>?)"),
            (ClusterFilter { paused: Some(true), name, ..all() }, "INDEX cluster_name (name=? AND id>?)"),
            (ClusterFilter { ids: one_cluster, ..all() }, "INTEGER PRIMARY KEY (rowid=?)"),
        ] {
            let explained = select(&filter, 100).explained();
            let rows = store.read(async |reader| Ok(reader.fetch_all(explained).await?)).await.unwrap();
            let steps: Vec<&str> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
            assert_eq!(steps[0], format!("SEARCH cluster USING {index}"), "{filter:?}");
        }
    }
}
