//! Where clusters are kept: the only place with SQL.
//!
//! One process owns a SQLite file; a PostgreSQL database may have several servers. What both are asked is one text (see
//! [`statement`]). Reads go through a small pool, and everything that is written goes through a [`Transaction`], which
//! writes many clusters' changes with one fsync.

mod columns;
mod commit;
mod connection;
mod dump;
mod export;
mod health;
mod import;
mod limits;
mod list;
mod liveness;
mod migrations;
mod notify;
mod open;
mod postgres;
mod read;
mod size;
mod sqlite;
mod statement;
mod transaction;
mod url;

use std::{fmt::Display, mem, time::Duration};

use sqlx::{PgPool, Postgres, SqlitePool, pool::PoolConnection};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

pub use columns::{subject_from_words, subject_words};
pub use commit::ClusterWrite;
pub use dump::{ClusterDump, RegistryDump, UsedToken};
pub use export::{Export, ExportError};
pub use import::ImportError;
pub use limits::DatabaseLimits;
pub use list::{ClusterFilter, ClusterSummary, Cursor};
pub use liveness::{LIVENESS_CHUNK, LivenessRecord};
pub use notify::{Notification, NotificationListener};
pub use open::OpenError;
pub use read::{LoadedClusters, Stamp};
pub use size::DatabaseSize;
pub use transaction::Transaction;
pub use url::DatabaseUrl;

use connection::Connection;
use health::Health;
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

/// Why the database could not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process changed a cluster meanwhile; nothing was written. Read again and decide again.
    #[error("a cluster was changed by somebody else meanwhile")]
    Conflict,
    /// The server is stopping.
    #[error("the database is closed, because the server is stopping")]
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
    /// The database was lost in the middle of a commit, and nobody knows whether that was made.
    #[error("whether the last changes are in the database is not known: {0}")]
    UnknownOutcome(String),
    /// The database could not be reached a moment ago, so that nobody tried.
    #[error("the database is away")]
    Down,
    /// The database is there, and all connections to it are in use.
    #[error("all connections to the database were in use for {0:?} (--database-pool-size)")]
    Busy(Duration),
    /// The database did not answer in time.
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    /// The database failed.
    #[error("the database failed: {}", database_message(.0))]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Sixteen hexadecimal digits that name this registry: the same on every start, and on every server of a database.
    pub fn registry_id(&self) -> &str {
        &self.registry_id
    }

    /// Where the database is, without its password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether other servers may write to the database as well.
    pub fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// How many may read at a time.
    pub fn readers(&self) -> usize {
        match &self.readers {
            Readers::Sqlite(readers) => readers.options().get_max_connections() as usize,
            Readers::Postgres(readers) => readers.options().get_max_connections() as usize,
        }
    }

    /// How long the database may take.
    pub fn limits(&self) -> DatabaseLimits {
        self.limits
    }

    /// Closes the database; a file has everything in its main file then.
    pub async fn close(&self) {
        match &self.readers {
            Readers::Sqlite(readers) => readers.close().await,
            Readers::Postgres(readers) => readers.close().await,
        }
        let Writer::Open(writer) = mem::replace(&mut *self.writer.lock().await, Writer::Closed) else { return };
        if let Err(error) = writer.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost, the next start recovers it");
        }
    }

    /// Whether the database could not be reached when somebody last tried.
    pub fn is_down(&self) -> bool {
        self.health.is_down()
    }

    /// Reads with a connection of its own.
    async fn read<T>(&self, read: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.read_within(self.limits.statement_timeout, read).await
    }

    /// Reads what takes the database no longer than this.
    async fn read_within<T>(
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

    /// A database that does not even say that something takes too long is away. One that has only ended a connection may
    /// be there again for the next one.
    fn record_timeout<T>(&self, result: &Result<T, StoreError>) {
        if matches!(result, Err(StoreError::TimedOut(_))) {
            self.health.record(result, &self.name);
        }
    }

    /// A connection of a pool. The pool itself waits for a database that refuses, but not for one that hangs; and it does
    /// not say whether the database is away or only all connections are in use.
    async fn acquire(&self, readers: &PgPool) -> Result<PoolConnection<Postgres>, StoreError> {
        match timeout(self.limits.acquire_timeout, readers.acquire()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) if !matches!(error, sqlx::Error::PoolTimedOut) => Err(error.into()),
            _ => {
                const LOOK: Duration = Duration::from_secs(1);
                let look = timeout(LOOK, self.database.connect(Duration::ZERO, self.limits)).await;
                look.unwrap_or(Err(StoreError::TimedOut(self.limits.acquire_timeout)))?.discard();
                Err(StoreError::Busy(self.limits.acquire_timeout))
            }
        }
    }

    /// Tries to reach a database that is away. Until that goes well, everybody else hears at once that it is away.
    pub async fn reconnect(&self) {
        if self.is_down() {
            let result = self.database.connect(Duration::ZERO, self.limits).await;
            self.health.record(&result, &self.name);
        }
    }

    /// A connection that writes. A database that can't be reached is tried again until the acquire time-out is over.
    async fn connect(&self) -> Result<Connection, StoreError> {
        self.health.check()?;
        let result = self.database.connect(self.limits.acquire_timeout, self.limits).await;
        self.health.record(&result, &self.name);
        result
    }

    /// The result of something that asks the database. The database itself has its limit for a statement; here it is one
    /// that does not even say so.
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
    /// A connection that reads and writes. A database that can't be reached is tried again for as long as `patience`.
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

/// What went wrong in the database's own words, without the line of its source at which it did.
fn database_message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

impl StoreError {
    fn corrupt(table: &'static str, column: &'static str, reason: impl Display) -> Self {
        Self::Corrupt { table, column, reason: reason.to_string() }
    }

    /// Whether the database is there but takes no further connections. Those that there are still serve.
    pub fn is_out_of_connections(&self) -> bool {
        const TOO_MANY_CONNECTIONS: &str = "53300";
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code().as_deref() == Some(TOO_MANY_CONNECTIONS),
            _ => false,
        }
    }

    /// Whether the database could not be reached, or was about to stop or to start: whether asking again may help.
    pub fn is_transient(&self) -> bool {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html: connection exceptions, too many connections,
        // operator intervention, a transaction on a standby that is about to become the primary.
        const CODES: &[&str] = &["08", "53300", "57P", "25006", "25P03"];
        match self {
            Self::Down | Self::TimedOut(_) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| CODES.iter().any(|passing| code.starts_with(passing)))
            }
            Self::Database(error) => {
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
            }
            Self::Conflict | Self::Closed | Self::UnknownOutcome(_) | Self::Busy(_) | Self::Corrupt { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
