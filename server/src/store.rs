//! Where clusters are kept: the only place with SQL.
//!
//! One process owns a SQLite file (see [`open`]), reads go through a small pool, and everything that
//! is written goes through [`Store::commit`], which writes many clusters' changes with one fsync.

mod commit;
mod open;
mod read;

use std::{fs::File, path::PathBuf};

use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use thiserror::Error;
use tokio::sync::Mutex;

pub use commit::Write;
pub use open::{DatabaseUrl, OpenError};

/// The database behind the registry.
#[derive(Debug)]
pub struct Store {
    readers: SqlitePool,
    /// `None` once the store is closed.
    writer: Mutex<Option<SqliteConnection>>,
    registry_id: String,
    path: PathBuf,
    /// Held for as long as the store lives: the operating system frees it even after `kill -9`.
    _lock: File,
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
    /// A row makes no sense to this binary.
    #[error("the database holds a {column} that this server can't read: {reason}")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Sixteen hexadecimal digits that name this registry: the same on every start.
    pub fn registry_id(&self) -> &str {
        &self.registry_id
    }

    /// Where the database file is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Closes the database with everything written to its main file.
    pub async fn close(&self) {
        self.readers.close().await;
        let Some(writer) = self.writer.lock().await.take() else { return };
        if let Err(error) = writer.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost, the next start recovers it");
        }
    }
}

/// The database that the SQL is compiled for.
type Db = Sqlite;
