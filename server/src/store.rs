//! The database, and the only place with SQL.
//!
//! One process owns a SQLite file; several servers can share a PostgreSQL database. Both get the same SQL text (see
//! [`statement`]). Reads go through a small pool of connections. All writes go through a [`Transaction`] on a connection of
//! its own, which writes the changes of many clusters with one fsync.

mod abandoned;
mod admission;
mod api_tokens;
mod columns;
mod commit;
mod compact;
mod connection;
mod count;
mod dump;
mod durability;
mod export;
mod generation;
mod health;
mod import;
mod limits;
mod list;
mod liveness;
mod loss;
mod migrations;
mod notify;
mod open;
mod postgres;
mod private_files;
mod random;
mod read;
mod size;
mod sqlite;
mod stamp;
mod statement;
mod table;
mod transaction;
mod url;
mod used_tokens;

use std::{fmt::Display, mem, time::Duration};

use sqlx::{PgPool, Postgres, SqlitePool, pool::PoolConnection};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

pub use abandoned::Abandoned;
pub use api_tokens::ApiTokenDatabase;
pub use columns::{subject_from_words, subject_words};
pub use commit::{ClusterWrite, draw_public_id};
pub use compact::RetainedHistory;
pub use count::ClusterCounts;
pub use dump::{ClusterDump, RegistryDump, UsedToken};
pub use export::{Export, ExportError};
pub use generation::WentBack;
pub use import::ImportError;
pub use limits::DatabaseLimits;
pub use list::{ClusterFilter, ClusterSummary, Cursor};
pub use liveness::{LIVENESS_CHUNK, LivenessRecord};
pub use loss::Suspicion;
pub use notify::{Notification, NotificationListener};
pub use open::OpenError;
pub use read::{LoadedClusters, StoredCluster};
pub use size::DatabaseSize;
pub use stamp::{Stamp, WriteId};
pub use transaction::{Locks, Transaction};
pub use url::DatabaseUrl;

use crate::metrics::DatabaseMetrics;
use connection::Connection;
use durability::Durability;
use health::Health;
use loss::Loss;
use postgres::PostgresDatabase;
use sqlite::SqliteFile;
use transaction::Writer;

/// The database behind the registry.
#[derive(Debug)]
pub struct Store {
    database: Database,
    limits: DatabaseLimits,
    readers: Readers,
    writer: Mutex<Writer>,
    health: Health,
    durability: Durability,
    loss: Loss,
    metrics: DatabaseMetrics,
    registry_id: String,
    name: String,
}

#[derive(Debug)]
enum Database {
    Sqlite(SqliteFile),
    Postgres(Box<PostgresDatabase>),
}

#[derive(Debug)]
enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Why the database did not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has changed a cluster in the meantime, and nothing was written. Read and decide again.
    #[error("another process changed the cluster in the meantime")]
    Conflict,
    /// The server is stopping.
    #[error("the server is stopping and has closed the database")]
    Closed,
    /// This binary can't read a row.
    #[error("the database holds a {table}.{column} that this server can't read: {reason}")]
    Corrupt {
        /// Its table.
        table: &'static str,
        /// The column with the unreadable value.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program has replaced the content of a SQLite database under the running server.
    #[error(
        "another program has put an older copy into the database of the running server: it is at generation {found}, and was at \
         {latest} before. The server writes nothing any more: stop it, and restore the backup without the old -wal and -shm"
    )]
    Replaced {
        /// The database's generation.
        found: i64,
        /// The latest generation of this server.
        latest: i64,
    },
    /// The connection was lost during a commit, and the database could not be asked whether the commit succeeded.
    #[error("lost the database during a commit, so the last changes may or may not be stored: {0}")]
    UnknownOutcome(String),
    /// The database has not confirmed that earlier commits are as durable as it is configured to make them.
    #[error(
        "the database has not confirmed its last commits within {0:?}; a standby of synchronous_standby_names may be \
         down. The commits are stored, but a failover may lose them"
    )]
    Unconfirmed(Duration),
    /// The last attempt to reach the database failed, so this one was not made.
    #[error("the database is down")]
    Down,
    /// The database accepted no further connection at the last attempt, and this server has no free one.
    #[error("the database accepts no further connections")]
    Crowded,
    /// The database is up, but all connections of the pool are in use.
    #[error("all connections to the database were in use for {0:?}; see --database-pool-size")]
    Busy(Duration),
    /// The database did not answer in time.
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    /// The database failed.
    #[error("the database failed: {}", database_message(.0))]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// The registry's ID: 16 hexadecimal digits, the same on every start and on every server of a database.
    pub fn registry_id(&self) -> &str {
        &self.registry_id
    }

    /// The database's URL without its password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is counted of transactions and reads.
    pub fn metrics(&self) -> &DatabaseMetrics {
        &self.metrics
    }

    /// Whether other servers may write to the database as well.
    pub fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// How many reads can run at the same time.
    pub fn readers(&self) -> usize {
        match &self.readers {
            Readers::Sqlite(readers) => readers.options().get_max_connections() as usize,
            Readers::Postgres(readers) => readers.options().get_max_connections() as usize,
        }
    }

    /// The limits on connections and times.
    pub fn limits(&self) -> DatabaseLimits {
        self.limits
    }

    /// Closes the database. SQLite then moves everything from the log to the main file.
    pub async fn close(&self) {
        match &self.readers {
            Readers::Sqlite(readers) => readers.close().await,
            Readers::Postgres(readers) => readers.close().await,
        }
        let Writer::Open(writer) = mem::replace(&mut *self.writer.lock().await, Writer::Closed) else { return };
        if let Err(error) = writer.close().await {
            tracing::warn!(%error, "could not close the database cleanly; nothing is lost, and the next start recovers it");
        }
    }

    /// Whether reads can't ask the database: it is down, or it accepts no further connections.
    pub fn is_away(&self) -> bool {
        self.health.is_down() || self.health.is_crowded()
    }

    /// For how long the database has been down; `None` if the last attempt to reach it succeeded.
    pub fn down_for(&self) -> Option<Duration> {
        self.health.down_for()
    }

    /// Whether an attempt that failed may succeed on another connection at once.
    pub fn may_retry(&self, error: &StoreError) -> bool {
        error.is_transient() && !self.is_away()
    }

    /// Reads with a connection from the pool.
    async fn read<T>(&self, read: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.read_within(self.limits.statement_timeout, read).await
    }

    /// [`Store::read`] with a time limit of its own.
    async fn read_within<T>(
        &self,
        limit: Duration,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = std::time::Instant::now();
        // Boxed, because most requests are answered from memory, and each of them would move the memory of this future several times.
        let result = Box::pin(self.read_unmeasured(limit, read)).await;
        self.metrics.record_read(begun, &result);
        result
    }

    async fn read_unmeasured<T>(
        &self,
        limit: Duration,
        read: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.health.check()?;
        let reader = self.reader().await;
        self.health.record(&reader, &self.name);
        let mut reader = reader?;
        let result = self.with_timeout(limit, read(&mut reader)).await;
        self.record_timeout(&result);
        if matches!(result, Err(StoreError::TimedOut(_))) {
            reader.discard();
        }
        result
    }

    async fn reader(&self) -> Result<Connection, StoreError> {
        match &self.readers {
            Readers::Sqlite(readers) => Ok(Connection::SqliteOfPool(readers.acquire().await?)),
            Readers::Postgres(readers) => Ok(Connection::PostgresOfPool(self.acquire(readers).await?)),
        }
    }

    /// Takes a database for down if it does not answer at all within the limit. One that has only closed a connection may
    /// accept the next one.
    fn record_timeout<T>(&self, result: &Result<T, StoreError>) {
        if matches!(result, Err(StoreError::TimedOut(_))) {
            self.health.record(result, &self.name);
        }
    }

    /// Takes a connection from the pool. The pool itself waits without a limit for a database that hangs, and its time-out
    /// does not tell whether the database is down or all connections are in use.
    async fn acquire(&self, readers: &PgPool) -> Result<PoolConnection<Postgres>, StoreError> {
        if self.health.is_crowded() {
            return readers.try_acquire().ok_or(StoreError::Crowded);
        }
        match timeout(self.limits.acquire_timeout, readers.acquire()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) if !matches!(error, sqlx::Error::PoolTimedOut) => Err(error.into()),
            _ => {
                const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
                let connected = timeout(CONNECT_TIMEOUT, self.database.connect(Duration::ZERO, self.limits)).await;
                let connected = connected.unwrap_or(Err(StoreError::TimedOut(self.limits.acquire_timeout)));
                self.health.record_connect(&connected, &self.name);
                connected?.discard();
                Err(StoreError::Busy(self.limits.acquire_timeout))
            }
        }
    }

    /// Tries to connect to a database that is down or accepts no further connections. Until that succeeds, reads that need a
    /// new connection fail at once, and while it is down, all other calls do.
    pub async fn reconnect(&self) {
        if self.is_away() {
            let result = self.database.connect(Duration::ZERO, self.limits).await;
            self.health.record(&result, &self.name);
            self.health.record_connect(&result, &self.name);
        }
    }

    /// Opens the connection that writes. Retries until the acquire time-out, unless the database accepted no connection before.
    async fn connect(&self) -> Result<Connection, StoreError> {
        self.health.check()?;
        let patience = if self.health.is_crowded() { Duration::ZERO } else { self.limits.acquire_timeout };
        let result = self.database.connect(patience, self.limits).await;
        self.health.record(&result, &self.name);
        self.health.record_connect(&result, &self.name);
        let mut connection = result?;
        let noted = self.note_system(&mut connection).await;
        self.record_timeout(&noted);
        noted?;
        Ok(connection)
    }

    /// Limits the time of a statement. The database has the same limit and reports it; this is for a database that does not
    /// answer at all.
    async fn with_timeout<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.is_shared() {
            return work.await;
        }
        let limit = limit + DatabaseLimits::ANSWER;
        timeout(limit, work).await.unwrap_or(Err(StoreError::TimedOut(limit)))
    }
}

impl Database {
    /// Opens a connection that can read and write. Retries for as long as `patience`.
    async fn connect(&self, patience: Duration, limits: DatabaseLimits) -> Result<Connection, StoreError> {
        const PAUSE: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + patience;
        loop {
            let connected = match self {
                Self::Sqlite(file) => return Ok(file.connect().await?),
                Self::Postgres(database) => timeout(limits.acquire_timeout, database.connect()).await,
            };
            let error = match connected {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => StoreError::from(error),
                Err(_) => StoreError::TimedOut(limits.acquire_timeout),
            };
            if !error.is_transient() || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }
}

/// The database's own message, without the place in its source code.
fn database_message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

impl StoreError {
    fn corrupt(table: &'static str, column: &'static str, reason: impl Display) -> Self {
        Self::Corrupt { table, column, reason: reason.to_string() }
    }

    /// Whether the database refuses further connections. Those that exist still work.
    pub fn is_out_of_connections(&self) -> bool {
        const TOO_MANY_CONNECTIONS: &str = "53300";
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code().as_deref() == Some(TOO_MANY_CONNECTIONS),
            _ => false,
        }
    }

    /// Whether a retry may help: the database could not be reached, or was stopping or starting.
    pub fn is_transient(&self) -> bool {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html: connection exceptions, too many connections, operator
        // intervention, and statements on a standby that is about to become the primary.
        const CODES: &[&str] = &["08", "53300", "57P", "25006", "25P03", "55000"];
        match self {
            Self::Down | Self::Crowded | Self::TimedOut(_) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| CODES.iter().any(|transient| code.starts_with(transient)))
            }
            Self::Database(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
            }
            Self::Conflict
            | Self::Closed
            | Self::UnknownOutcome(_)
            | Self::Unconfirmed(_)
            | Self::Busy(_)
            | Self::Corrupt { .. }
            | Self::Replaced { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
