use std::sync::Arc;

use convene_lifecycle::Cluster;
use thiserror::Error;

use super::{
    ClusterDump, ClusterWrite, RegistryDump, Store, StoreError, UsedToken,
    commit::{RANDOM_BITS, insert_clusters_with_ids, insert_events, upsert_members},
    connection::Connection,
    liveness::write_last_seen,
    statement::Statement,
};

/// How many clusters are written with one statement, and about how many members and events with another.
const CHUNK: usize = 32;

/// The most used tokens in one statement.
const USED_TOKEN_CHUNK: usize = 1_000;

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Two registries can't become one: each has an ID of its own, and each goes on by itself.
    #[error(
        "the database is not empty (clusters: {clusters}, used tokens: {used_tokens}), and an import never merges; import \
         into an empty one"
    )]
    NotEmpty {
        /// How many clusters it has.
        clusters: i64,
        /// How many tokens it has that are used up.
        used_tokens: i64,
    },
    /// They may be servers that have read what is to be replaced.
    #[error("others are connected to the database ({0}); stop convene-servers and end other sessions of it first")]
    InUse(String),
    /// The database did not say whether it has taken all or nothing.
    #[error(
        "the commit was not answered ({0}), so that all may be there or nothing; `convene-server export` shows which"
    )]
    UnknownOutcome(StoreError),
    /// The database failed.
    #[error("nothing was written: {0}")]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes all that another database has kept, or nothing. Afterwards this store still has the ID that its registry had
    /// before, and is only good for closing it.
    pub async fn import(&self, contents: &RegistryDump) -> Result<(), ImportError> {
        let mut transaction = self.begin().await?;
        match write(transaction.connection(), contents).await {
            Ok(()) => transaction.commit().await.map_err(ImportError::UnknownOutcome),
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }
}

async fn write(connection: &mut Connection, contents: &RegistryDump) -> Result<(), ImportError> {
    check_alone(connection).await?;
    check_empty(connection).await?;
    let take_over = Statement::new("update registry set cluster_id = $1 where id = 1");
    connection.execute(take_over.bind(contents.registry_id.as_str())).await.map_err(StoreError::from)?;
    for used in contents.used_tokens.chunks(USED_TOKEN_CHUNK) {
        insert_used_tokens(connection, used).await?;
    }
    let mut last = i64::MIN;
    for clusters in contents.clusters.chunks(CHUNK) {
        last = insert_clusters(connection, clusters, last).await?;
    }
    if connection.is_shared() {
        // It would find out by itself how much there is now, but within a minute, and until then it reads whole tables.
        connection.run("analyze cluster, member, event, used_token").await.map_err(StoreError::from)?;
    }
    Ok(())
}

/// A file has one server anyhow. Servers that share a database would go on with the ID that they have read. What a session
/// is can't be told for certain, so that there must be none; the database's own have no user.
async fn check_alone(connection: &mut Connection) -> Result<(), ImportError> {
    if !connection.is_shared() {
        return Ok(());
    }
    connection.run("set local statement_timeout = 0").await.map_err(StoreError::from)?;
    let lock = "lock table registry, cluster, used_token in share row exclusive mode";
    connection.run(lock).await.map_err(StoreError::from)?;
    let sessions = "select string_agg(coalesce(nullif(application_name, ''), 'without a name'), ', ') as names \
                    from pg_stat_activity \
                    where datname = current_database() and usesysid is not null and pid <> pg_backend_pid()";
    let row = connection.fetch_one(Statement::new(sessions)).await.map_err(StoreError::from)?;
    match row.try_get("names").map_err(StoreError::from)? {
        None => Ok(()),
        Some(names) => Err(ImportError::InUse(names)),
    }
}

async fn check_empty(connection: &mut Connection) -> Result<(), ImportError> {
    let count = "select (select count(*) from cluster) as clusters, (select count(*) from used_token) as used_tokens";
    let row = connection.fetch_one(Statement::new(count)).await.map_err(StoreError::from)?;
    let clusters = row.try_get("clusters").map_err(StoreError::from)?;
    let used_tokens = row.try_get("used_tokens").map_err(StoreError::from)?;
    if (clusters, used_tokens) == (0, 0) { Ok(()) } else { Err(ImportError::NotEmpty { clusters, used_tokens }) }
}

async fn insert_used_tokens(connection: &mut Connection, used: &[UsedToken]) -> Result<(), StoreError> {
    let mut insert = Statement::new("insert into used_token (token, at) ");
    insert.push_rows(used, |row, used| {
        row.value(used.token.as_str()).value(used.at.0);
    });
    connection.execute(insert.keep(false)).await?;
    Ok(())
}

/// Inserts clusters with inner IDs after `last`, and returns the last of them.
async fn insert_clusters(connection: &mut Connection, clusters: &[ClusterDump], last: i64) -> Result<i64, StoreError> {
    let mut last = last;
    let mut rows = Vec::with_capacity(clusters.len());
    for ClusterDump { cluster, .. } in clusters {
        last = id_after(last, cluster);
        rows.push((last, cluster));
    }
    insert_clusters_with_ids(connection, &rows).await?;
    let writes: Vec<ClusterWrite> = clusters.iter().map(creation).collect();
    upsert_members(connection, &writes).await?;
    insert_events(connection, &writes).await?;
    let last_seen: Vec<_> = clusters.iter().map(|dump| (&dump.cluster.token, &dump.last_seen)).collect();
    write_last_seen(connection, &last_seen).await?;
    Ok(last)
}

/// An inner ID as the cluster's creation would draw it, but in the order of the clusters given: a list of them shows the
/// same afterwards. Moments too far off for an ID count as the last that is not.
fn id_after(last: i64, cluster: &Cluster) -> i64 {
    let at = cluster.created_at.0.clamp(i64::MIN >> RANDOM_BITS, i64::MAX >> RANDOM_BITS);
    (at << RANDOM_BITS).max(last.saturating_add(1))
}

fn creation(kept: &ClusterDump) -> ClusterWrite {
    let after = Some(Arc::new(kept.cluster.clone()));
    ClusterWrite { token: kept.cluster.token.clone(), base: None, after, events: kept.events.clone() }
}
