use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use convene_lifecycle::{Event, Token, UnixMillis};
use thiserror::Error;

use super::{
    ClusterDump, Database, DatabaseLimits, DatabaseUrl, OpenError, StoreError, UsedToken,
    columns::{EVENT, read_event},
    connection::{Connection, Row},
    liveness::read_liveness,
    migrations::check_migrations,
    postgres::PostgresDatabase,
    read::{CLUSTER_WITH_MEMBER, cluster_with_members, token},
    sqlite,
    statement::Statement,
};

/// How many clusters are read at a time; each may have a thousand members and as many events.
const PAGE: i64 = 32;

/// Reads all that a database keeps, as of one moment, also while servers write to it.
pub struct Export {
    connection: Connection,
    registry_id: String,
    /// The inner ID of the last cluster that was read.
    last: i64,
}

/// Why a database can't be read to its end.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A cluster's rows make no sense to this binary.
    #[error("cluster {token}: {error}; without it the copy would not be whole: correct it in the database")]
    Cluster {
        /// Which.
        token: Token,
        /// What is wrong with it.
        error: StoreError,
    },
    /// Something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Export {
    /// Begins to read a database that is there and up to date; a file is read beside the server that owns it.
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
            // Whoever takes the copy may be slow, and holds up nobody.
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

    /// Every token that is used up, in the order in which that happened.
    pub async fn used_tokens(&mut self) -> Result<Vec<UsedToken>, StoreError> {
        let rows = self.connection.fetch_all(Statement::new("select token, at from used_token")).await?;
        let read = |row: &Row| Ok(UsedToken { at: UnixMillis(row.try_get("at")?), token: token(row)? });
        let mut used = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        // Not in the database: how texts are ordered is a matter of the locale there.
        used.sort_unstable();
        Ok(used)
    }

    /// The next clusters in the order in which they were made; none if that were all.
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
        self.add_last_seen(&mut dumps).await?;
        Ok(dumps)
    }

    /// Adds when the members that are on record were last seen.
    async fn add_last_seen(&mut self, dumps: &mut [ClusterDump]) -> Result<(), StoreError> {
        let tokens: Vec<Token> = dumps.iter().map(|dump| dump.cluster.token.clone()).collect();
        // The time is for the failure detector, which an export leaves out.
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
