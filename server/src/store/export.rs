use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use convene_lifecycle::{Event, Token, UnixMillis};
use thiserror::Error;

use super::{
    ClusterDump, Database, DatabaseLimits, DatabaseUrl, OpenError, StoreError, UsedToken,
    admission::admissions,
    columns::{EVENT, read_event},
    connection::{Connection, Row},
    liveness::read_liveness,
    migrations::check_migrations,
    postgres::PostgresDatabase,
    read::{CLUSTER_WITH_MEMBER, cluster_with_members, token},
    sqlite,
    statement::Statement,
};

/// The clusters in one page. Each can have a thousand members and as many events.
const PAGE: i64 = 32;

/// Reads the whole content of a database as of one moment. Servers can write to it meanwhile.
pub struct Export {
    connection: Connection,
    registry_id: String,
    /// The inner ID of the last cluster that has been read.
    last: i64,
}

/// Why an export failed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// This binary can't read a cluster.
    #[error("cluster {token}: {error}; the export would be incomplete without it, so correct it in the database")]
    Cluster {
        /// Its token.
        token: Token,
        /// Why it can't be read.
        error: StoreError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Export {
    /// Starts to read a database that exists and has all migrations. A SQLite file may be in use by a server.
    pub async fn begin(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Self, OpenError> {
        let cannot_open = |error: sqlx::Error| OpenError::cannot_open(url, &error);
        let mut connection = match url {
            DatabaseUrl::Sqlite(path) => sqlite::read(path).await?,
            DatabaseUrl::Postgres(options) => {
                let database = Database::Postgres(Box::new(PostgresDatabase::new(options, limits)));
                let connected = database.connect(limits.acquire_timeout, limits).await;
                connected.map_err(|error| OpenError::cannot_open(url, &error))?
            }
        };
        check_migrations(&mut connection, url).await?;
        if connection.is_shared() {
            // A slow reader of the export holds up nobody.
            let patience = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0";
            connection.run(patience).await.map_err(cannot_open)?;
        }
        let shared = "begin isolation level repeatable read, read only";
        connection.run(if connection.is_shared() { shared } else { "begin" }).await.map_err(cannot_open)?;
        let row = connection.fetch_one(Statement::new("select cluster_id from registry where id = 1")).await;
        let registry_id = match row {
            Err(sqlx::Error::RowNotFound) => return Err(OpenError::NoRegistry { database: url.to_string() }),
            row => row.and_then(|row| row.try_get("cluster_id")).map_err(cannot_open)?,
        };
        Ok(Self { connection, registry_id, last: i64::MIN })
    }

    /// See [`super::Store::registry_id`].
    pub fn registry_id(&self) -> &str {
        &self.registry_id
    }

    /// Every used token, in the order in which the tokens were used up.
    pub async fn used_tokens(&mut self) -> Result<Vec<UsedToken>, StoreError> {
        let rows = self.connection.fetch_all(Statement::new("select token, at from used_token")).await?;
        let read = |row: &Row| Ok(UsedToken { at: UnixMillis(row.try_get("at")?), token: token(row)? });
        let mut used = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        // Sorts here, because the order of texts in the database depends on its locale.
        used.sort_unstable();
        Ok(used)
    }

    /// The next page of clusters, in the order of their creation; empty at the end.
    pub async fn clusters(&mut self) -> Result<Vec<ClusterDump>, ExportError> {
        let columns = &*CLUSTER_WITH_MEMBER;
        let text = format!(
            "select {columns} from (select * from cluster where id > $1 order by id limit $2) as cluster \
             left join member on member.cluster = cluster.id order by cluster.id, member.created_revision"
        );
        let statement = Statement::new(text).bind(self.last).bind(PAGE);
        let rows = self.connection.fetch_all(statement).await.map_err(StoreError::from)?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        let after = self.last.saturating_add(1);
        self.last = last.try_get("id").map_err(StoreError::from)?;
        let page = after..=self.last;
        let mut events = self.events(page).await?;
        let mut dumps = Vec::new();
        for of_one in rows.chunk_by(|row, next| id(row).ok() == id(next).ok()) {
            let token = token(&of_one[0])?;
            let cluster = cluster_with_members(&token, of_one);
            let cluster = cluster.map_err(|error| ExportError::Cluster { token: token.clone(), error })?;
            let events = events.remove(&token).unwrap_or_default();
            dumps.push(ClusterDump { cluster, events, last_seen: BTreeMap::new() });
        }
        self.add_admissions(&mut dumps).await?;
        self.add_last_seen(&mut dumps).await?;
        Ok(dumps)
    }

    /// Adds the join tokens and credentials.
    async fn add_admissions(&mut self, dumps: &mut [ClusterDump]) -> Result<(), ExportError> {
        let mut stored = admissions(&mut self.connection, dumps.iter().map(|dump| &dump.cluster)).await?;
        for ClusterDump { cluster, .. } in dumps {
            let token = cluster.token.clone();
            // All statements of an export see the same moment.
            stored.take(cluster).map_err(|error| ExportError::Cluster { token, error })?;
        }
        Ok(())
    }

    /// Adds when the members on record were last seen.
    async fn add_last_seen(&mut self, dumps: &mut [ClusterDump]) -> Result<(), StoreError> {
        let tokens: Vec<Token> = dumps.iter().map(|dump| dump.cluster.token.clone()).collect();
        // The time is for the failure detector, which is not exported.
        let mut records = read_liveness(&mut self.connection, &tokens, UnixMillis(0)).await?;
        for ClusterDump { cluster, last_seen, .. } in dumps {
            let Some(record) = records.remove(&cluster.token) else { continue };
            *last_seen = record.last_seen();
            last_seen.retain(|key, _| cluster.record.iter().any(|member| member.key == *key));
        }
        Ok(())
    }

    async fn events(&mut self, page: RangeInclusive<i64>) -> Result<BTreeMap<Token, Vec<Arc<Event>>>, ExportError> {
        let columns = EVENT.names_of("event");
        let text = format!(
            "select {columns}, cluster.token from event join cluster on cluster.id = event.cluster \
             where cluster.id between $1 and $2 order by cluster.id, event.revision"
        );
        let statement = Statement::new(text).bind(*page.start()).bind(*page.end());
        let rows = self.connection.fetch_all(statement).await.map_err(StoreError::from)?;
        let mut events: BTreeMap<Token, Vec<Arc<Event>>> = BTreeMap::new();
        for row in &rows {
            let token = token(row)?;
            let read = read_event(token.clone(), row, 0);
            let read = read.map_err(|error| ExportError::Cluster { token: token.clone(), error })?;
            events.entry(token).or_default().push(Arc::new(read));
        }
        Ok(events)
    }
}

fn id(row: &Row) -> Result<i64, sqlx::Error> {
    row.try_get("id")
}
