use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{OpenError, connection::Connection};

/// Readers only fill the cache and look up history, so a few serve thousands of clients.
const READERS: u32 = 4;

/// One statement text for each size of batch; see [`super::commit`].
const CACHED_STATEMENTS: usize = 1024;

/// A SQLite file that this process has for itself.
#[derive(Debug)]
pub(super) struct SqliteFile {
    path: PathBuf,
    /// Held for as long as the file is used: the operating system frees it even after `kill -9`.
    _lock: File,
}

impl SqliteFile {
    /// Takes a file, which is made if it is not there.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        create_private(path).map_err(|error| OpenError::cannot_open(path.display(), &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// A connection that reads and writes.
    pub async fn connect(&self) -> Result<Connection, sqlx::Error> {
        options(&self.path).connect().await.map(Connection::Sqlite)
    }

    /// Connections that read.
    pub async fn readers(&self) -> Result<SqlitePool, sqlx::Error> {
        SqlitePoolOptions::new()
            .max_connections(READERS)
            // A reader can't lose its connection to a file, so it needs no test before use.
            .test_before_acquire(false)
            .connect_with(options(&self.path).read_only(true))
            .await
    }
}

/// A connection that only reads a file, beside whoever owns it.
pub(super) async fn read(path: &Path) -> Result<Connection, OpenError> {
    // The operating system's words say more than SQLite's.
    File::open(path).map_err(|error| OpenError::cannot_open(path.display(), &error))?;
    let connected = options(path).read_only(true).connect().await;
    connected.map(Connection::Sqlite).map_err(|error| OpenError::cannot_open(path.display(), &error))
}

/// How a file is opened.
///
/// With `synchronous = full` a commit returns only once it is on the disk; with less, SQLite in WAL mode may
/// lose the last commits when the power fails.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(CACHED_STATEMENTS)
        // Otherwise each statement of many rows would make and remove a file.
        .pragma("temp_store", "memory")
        // In KiB: the upper part of the indexes, so that writing under a random token reads little.
        .pragma("cache_size", "-16384")
        // In pages of 4 KiB: a larger log would be moved to the main file less often, but hold up writes for longer.
        .pragma("wal_autocheckpoint", "2000")
        .disable_statement_logging()
}

/// Makes the file where there is none, readable for nobody else: tokens are secrets. SQLite gives the files
/// beside it the same permissions.
fn create_private(path: &Path) -> io::Result<()> {
    File::options().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Takes the lock beside the database. SQLite itself would let two servers in, and each would answer
/// from memory what the other has changed since. A link to the database leads to the same lock.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut beside = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    beside.push("-lock");
    let cannot_open = |error: io::Error| OpenError::cannot_open(path.display(), &error);
    let file = File::options().write(true).create(true).truncate(false).open(beside).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}
