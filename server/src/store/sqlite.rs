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

use super::{OpenError, connection::Connection, generation::GenerationFile, private_files};

/// The connections that read. They only fill the cache and read history, so a few serve thousands of clients.
const READERS: u32 = 4;

/// The most prepared statements: each size of a batch has a text of its own; see [`super::commit`].
const CACHED_STATEMENTS: usize = 1024;

/// A SQLite file that this process owns.
#[derive(Debug)]
pub(super) struct SqliteFile {
    path: PathBuf,
    /// The file with the database's generation.
    pub generation: GenerationFile,
    /// Held for as long as the file is in use. The operating system releases it even after `kill -9`.
    _lock: File,
}

impl SqliteFile {
    /// Locks a file, and creates it if it does not exist.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        private_files::check(path)?;
        create_private(path).map_err(|error| OpenError::cannot_open(path.display(), &error))?;
        let lock = lock(path)?;
        // Somebody may have created one in the meantime.
        private_files::check(path)?;
        Ok(Self { path: path.to_owned(), generation: GenerationFile::open(path)?, _lock: lock })
    }

    /// Opens a connection that can read and write.
    pub async fn connect(&self) -> Result<Connection, sqlx::Error> {
        options(&self.path).connect().await.map(Connection::Sqlite)
    }

    /// Opens the connections that read.
    pub async fn readers(&self) -> Result<SqlitePool, sqlx::Error> {
        SqlitePoolOptions::new()
            .max_connections(READERS)
            // A connection to a file can't get lost, so it needs no test before use.
            .test_before_acquire(false)
            // In KiB. Each of them reads little: what is asked for often is in memory already.
            .connect_with(options(&self.path).read_only(true).pragma("cache_size", "-1024"))
            .await
    }
}

/// Opens a connection that only reads, even while another process owns the file.
pub(super) async fn read(path: &Path) -> Result<Connection, OpenError> {
    // The operating system's error says more than SQLite's.
    File::open(path).map_err(|error| OpenError::cannot_open(path.display(), &error))?;
    let connected = options(path).read_only(true).connect().await;
    connected.map(Connection::Sqlite).map_err(|error| OpenError::cannot_open(path.display(), &error))
}

/// The options with which a file is opened.
///
/// With `synchronous = full` a commit returns only once it is on the disk. With less, SQLite in WAL mode can lose the last
/// commits in a power failure.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(CACHED_STATEMENTS)
        // Otherwise each statement of many rows would create and delete a file.
        .pragma("temp_store", "memory")
        // In KiB. Holds the upper part of the indexes, so that a write to a random token reads little. When a page was split, SQLite
        // looks at each page of the cache at the next commit (`pcache1TruncateUnsafe`): with 16 MiB that took 8 % of a registration.
        .pragma("cache_size", "-4096")
        // In bytes, for a new file. A commit writes whole pages, and changes a few rows of each: a create writes 3.7 KiB with pages of
        // 4 KiB, and 2.3 KiB with these.
        .page_size(1024)
        // In pages. A larger log needs fewer checkpoints, but each one holds up writes for longer.
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging()
}

/// Creates the file if there is none, readable by its owner only, because tokens are secrets. SQLite gives the files next to
/// it the same permissions.
fn create_private(path: &Path) -> io::Result<()> {
    File::options().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Locks a file next to the database. SQLite itself admits two servers, and each would answer from memory what the other has
/// changed. A symbolic link to the database leads to the same lock.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut lock_path = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    lock_path.push("-lock");
    let cannot_open = |error: io::Error| OpenError::cannot_open(path.display(), &error);
    let file =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(lock_path).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}
