use std::{fmt, str::FromStr};

use convene_lifecycle::{Cluster, ClusterName};

use super::{
    Store, StoreError,
    connection::Row,
    read::{cluster, parse},
    statement::Statement,
};

/// Which clusters to list.
#[derive(Clone, Debug, Default)]
pub struct ClusterFilter {
    /// Only those after this place; `None` begins with the oldest.
    pub after: Option<Cursor>,
    /// Only those that are called so.
    pub name: Option<ClusterName>,
    /// Only those that have formed, or have not.
    pub formed: Option<bool>,
    /// Only those that are paused, or are not.
    pub paused: Option<bool>,
}

/// A cluster as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSummary {
    /// The cluster with an empty record.
    pub without_members: Cluster,
    /// How many members vote.
    pub voter_count: usize,
    /// How many members only learn.
    pub learner_count: usize,
}

/// A place in the list of all clusters: 16 hexadecimal digits, which mean nothing to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl Store {
    /// At most `limit` clusters in the order in which they were made, and where to go on if there are more. Members are
    /// counted and not read: a page of clusters may have a million of them.
    pub async fn list(
        &self,
        filter: &ClusterFilter,
        limit: u32,
    ) -> Result<(Vec<ClusterSummary>, Option<Cursor>), StoreError> {
        let mut query = Statement::new(
            "select *, learner as cluster_learner, \
             (select count(*) from member where cluster = cluster.id and removed_revision is null) as member_count, \
             (select count(*) from member where cluster = cluster.id and removed_revision is null and member.learner <> 0) \
             as learner_count from cluster where id > ",
        );
        query.push_value(filter.after.map_or(i64::MIN, |Cursor(id)| id));
        if let Some(name) = &filter.name {
            query.push(" and name = ").push_value(name.to_string());
        }
        match filter.formed {
            Some(true) => query.push(" and formed_revision is not null"),
            Some(false) => query.push(" and formed_revision is null"),
            None => &mut query,
        };
        if let Some(paused) = filter.paused {
            query.push(" and paused = ").push_value(i64::from(paused));
        }
        query.push(" order by id limit ").push_value(i64::from(limit) + 1);
        let rows = self.read(async |reader| Ok(reader.fetch_all(query).await?)).await?;
        let is_more = rows.len() > limit as usize;
        let mut clusters = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows.iter().take(limit as usize) {
            last = Some(Cursor(row.try_get("id")?));
            match summary(row) {
                Ok(cluster) => clusters.push(cluster),
                // Whoever looks for what is wrong needs to see the others.
                Err(error) => tracing::error!(%error, "a cluster is left out of the list"),
            }
        }
        Ok((clusters, last.filter(|_| is_more)))
    }
}

fn summary(row: &Row) -> Result<ClusterSummary, StoreError> {
    let (members, learners): (i64, i64) = (row.try_get("member_count")?, row.try_get("learner_count")?);
    Ok(ClusterSummary {
        without_members: cluster(parse("cluster.token", row.try_get("token")?)?, row)?,
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
