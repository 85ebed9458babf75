use std::sync::Arc;

use convene_lifecycle::{Cluster, Event, PublicId};
use thiserror::Error;

use super::{
    ClusterDump, ClusterWrite, RegistryDump, Store, StoreError, UsedToken, WriteId,
    admission::write_admissions,
    commit::{RANDOM_BITS, insert_events, insert_new_clusters, upsert_members},
    connection::Connection,
    liveness::write_last_seen,
    statement::Statement,
    table::Table,
};

/// The most clusters in one statement.
const CHUNK: usize = 32;

/// The most used tokens in one statement.
const USED_TOKEN_CHUNK: usize = 1_000;

/// Why an import failed.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The database has content. An import never merges two registries, because each has an ID of its own.
    #[error(
        "the database is not empty (clusters: {clusters}, used tokens: {used_tokens}), and an import never merges; use an \
         empty database"
    )]
    NotEmpty {
        /// The number of clusters.
        clusters: i64,
        /// The number of used tokens.
        used_tokens: i64,
    },
    /// Other sessions are connected to the database. They may be servers that cache what the import replaces.
    #[error(
        "other clients are connected to the database ({0}); stop every convene-server and close all other sessions first"
    )]
    InUse(String),
    /// The database did not answer the commit.
    #[error(
        "the database did not answer the commit ({0}), so either everything was imported or nothing; `convene-server export` \
         shows which"
    )]
    UnknownOutcome(StoreError),
    /// The database failed.
    #[error("nothing was written: {0}")]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes the whole content of another database, or nothing. Afterwards this store still has the registry ID from before the
    /// import; close it.
    pub async fn import(&self, contents: &RegistryDump) -> Result<(), ImportError> {
        let generation = self.next_generation(&contents.registry_id);
        let mut transaction = self.begin().await?;
        match write(transaction.connection(), contents, generation).await {
            Ok(()) => {
                transaction.commit().await.map_err(ImportError::UnknownOutcome)?;
                self.keep_generation(&contents.registry_id, generation);
                Ok(())
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }
}

async fn write(connection: &mut Connection, contents: &RegistryDump, generation: i64) -> Result<(), ImportError> {
    check_no_other_sessions(connection).await?;
    check_empty(connection).await?;
    // An export is older than the registry, but somebody wants it to be the registry now.
    let take_over = Statement::new("update registry set cluster_id = $1, generation = $2, system = null where id = 1")
        .bind(contents.registry_id.as_str())
        .bind(generation);
    connection.execute(take_over).await.map_err(StoreError::from)?;
    for used in contents.used_tokens.chunks(USED_TOKEN_CHUNK) {
        insert_used_tokens(connection, used).await?;
    }
    let mut last = i64::MIN;
    for clusters in contents.clusters.chunks(CHUNK) {
        last = insert_clusters(connection, clusters, last).await?;
    }
    if connection.is_shared() {
        // Without statistics PostgreSQL reads whole tables; it would gather them by itself only within a minute.
        connection
            .run("analyze cluster, member, join_token, node_credential, event, used_token")
            .await
            .map_err(StoreError::from)?;
    }
    Ok(())
}

/// Checks that no other session uses the database: a running server would go on with the registry ID that it has read. It is
/// not certain which sessions are servers, so there must be none. PostgreSQL's own sessions have no user. A SQLite file is
/// locked.
async fn check_no_other_sessions(connection: &mut Connection) -> Result<(), ImportError> {
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
    let mut table = Table::new();
    table.column("token", used.iter().map(|used| used.token.as_str())).column("at", used.iter().map(|used| used.at.0));
    let mut insert = Statement::new("insert into used_token (token, at) ");
    insert.push_table(table);
    connection.execute(insert.cache(false)).await?;
    Ok(())
}

/// Inserts clusters. Those without a public ID get one after `last`. Returns the last one that was given.
async fn insert_clusters(connection: &mut Connection, clusters: &[ClusterDump], last: i64) -> Result<i64, StoreError> {
    let mut last = last;
    let mut with_id = |cluster: &Cluster| {
        if cluster.id != PublicId::UNASSIGNED {
            return cluster.clone();
        }
        last = id_after(last, cluster);
        Cluster { id: PublicId(last), ..cluster.clone() }
    };
    let writes: Vec<ClusterWrite> =
        clusters.iter().map(|dump| creation(with_id(&dump.cluster), dump.events.clone())).collect();
    let new: Vec<&Cluster> = writes.iter().filter_map(|write| write.after.as_deref()).collect();
    insert_new_clusters(connection, &new).await?;
    upsert_members(connection, &writes).await?;
    write_admissions(connection, &writes).await?;
    insert_events(connection, &writes).await?;
    let last_seen: Vec<_> = clusters.iter().map(|dump| (&dump.cluster.token, &dump.last_seen)).collect();
    write_last_seen(connection, &last_seen).await?;
    Ok(last)
}

/// A public ID as the cluster's creation would draw it, and after `last`, so that lists keep the order of the clusters. A time
/// that is too far away for an ID counts as the last possible one.
fn id_after(last: i64, cluster: &Cluster) -> i64 {
    let at = cluster.created_at.0.clamp(i64::MIN >> RANDOM_BITS, i64::MAX >> RANDOM_BITS);
    (at << RANDOM_BITS).max(last.saturating_add(1))
}

fn creation(cluster: Cluster, events: Vec<Arc<Event>>) -> ClusterWrite {
    let token = cluster.token.clone();
    ClusterWrite { token, base: None, before: None, after: Some(Arc::new(cluster)), events, write_id: WriteId::draw() }
}
