use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tokio::sync::Mutex;

use super::{Store, Writer};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Readers only fill the cache and look up history, so a few serve thousands of clients.
const READERS: u32 = 4;

/// One statement text for each size of batch; see [`super::commit`].
const CACHED_STATEMENTS: usize = 1024;

/// Which database to use, read from `sqlite:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    path: PathBuf,
}

/// A text that is no [`DatabaseUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// Another kind of database.
    #[error("must be sqlite:PATH, such as sqlite:convene.db; other databases are not supported")]
    Scheme,
    /// A database that would forget.
    #[error(
        "must name a file, such as sqlite:convene.db, and nothing but a file; a database in memory would lose what \
         was acknowledged"
    )]
    NoFile,
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(DatabaseUrlError::NoFile);
        }
        Ok(Self { path: path.into() })
    }
}

/// Why the database can't be used; each is one line for whoever starts the server.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("database {} is in use by another convene-server; one process owns a SQLite file", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// A newer server has migrated it.
    #[error(
        "database {} is newer than this convene-server: it has migration {migration}, which this binary does not \
         know; start the newer version",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The migration.
        migration: i64,
    },
    /// The file or the one that guards it can't be had.
    #[error("database {} can't be opened: {reason}", path.display())]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// What the operating system or SQLite said.
        reason: String,
    },
}

impl Store {
    /// Opens the database, creating it where there is none, and brings it up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let path = url.path.clone();
        create_private(&path)
            .map_err(|error| OpenError::CannotOpen { path: path.clone(), reason: error.to_string() })?;
        let lock = lock(&path)?;
        let cannot_open = |error: sqlx::Error| OpenError::CannotOpen { path: path.clone(), reason: one_line(&error) };

        let mut writer = options(&path).connect().await.map_err(cannot_open)?;
        migrate(&mut writer, &path).await?;
        let registry_id = registry_id(&mut writer).await.map_err(cannot_open)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A reader can't lose its connection to a file, so it needs no test before use.
            .test_before_acquire(false)
            .connect_with(options(&path).read_only(true).create_if_missing(false))
            .await
            .map_err(cannot_open)?;
        Ok(Self { readers, writer: Mutex::new(Writer::Open(writer)), registry_id, path, _lock: lock })
    }
}

/// How a file is opened.
///
/// With `synchronous = full` a commit returns only once it is on the disk; with less, SQLite in WAL mode may
/// lose the last commits when the power fails.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
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
    let cannot_open = |error: io::Error| OpenError::CannotOpen { path: path.to_owned(), reason: error.to_string() };
    let file = File::options().write(true).create(true).truncate(false).open(beside).map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}

async fn migrate(writer: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let path = || path.to_owned();
    MIGRATIONS.run(writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(migration) => OpenError::Newer { path: path(), migration },
        other => OpenError::CannotOpen { path: path(), reason: one_line(&other) },
    })
}

async fn registry_id(writer: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let drawn = format!("{:016x}", uuid::Uuid::now_v7().as_u64_pair().1);
    sqlx::query("insert into registry (id, cluster_id) values (1, $1) on conflict (id) do nothing")
        .bind(drawn)
        .execute(&mut *writer)
        .await?;
    sqlx::query_scalar("select cluster_id from registry where id = 1").fetch_one(writer).await
}

fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Discovery, EventKind, Face, Policy, Revision};

    use super::*;

    #[tokio::test]
    async fn a_database_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("c.db");
        let mut connection = options(&path).connect().await.unwrap();
        let first = Migrator { migrations: MIGRATIONS.migrations[..1].to_vec().into(), ..Migrator::DEFAULT };
        first.run(&mut connection).await.unwrap();
        let rows = "insert into cluster values (1, 'one', 3, 1, 1, 3, 1000, 2000, null);
            insert into member values (1, '8e9e05c52164694d', 'infra0=http://10.0.0.1:2380', 2, 2, null);
            insert into member values (1, 'b', 'infra1=http://10.0.0.2:2380', 2, 3, 3);
            insert into event values (1, 1, 1000, 'create', 'size', null, '3', 1, null, null, null, 1);
            insert into event values (1, 2, 2000, 'create', 'member', '8e9e05c52164694d', 'infra0=http://10.0.0.1:2380', 2,
                null, null, null, 1);
            insert into event values (1, 3, 3000, 'delete', 'member', 'b', null, 2, 'infra1=http://10.0.0.2:2380', 2, 2, 1)";
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();

        let store = Store::open(&DatabaseUrl { path }).await.unwrap();
        let token = "one".parse().unwrap();
        let cluster = store.load(&token).await.unwrap().unwrap();
        assert_eq!((cluster.face, cluster.policy), (Some(Face::Discovery(Discovery::V2)), Policy::default()));
        assert_eq!(cluster.members().count(), 1);
        let member = cluster.member(&"8e9e05c52164694d".parse().unwrap()).unwrap();
        assert_eq!((cluster.size_version, member.registered, member.version), (1, Revision(2), 1));
        let events = store.events(&token, Revision(1), 10).await.unwrap();
        let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
        let versions: Vec<_> = events
            .iter()
            .map(|event| (event.version, event.previous.as_ref().map(|previous| previous.version)))
            .collect();
        assert_eq!(versions, [(1, None), (1, None), (0, Some(1))]);
        assert_eq!(kinds, [EventKind::ClusterCreated, EventKind::MemberRegistered, EventKind::MemberRemoved]);
    }

    #[test]
    fn a_database_url_names_a_sqlite_file() {
        for (text, path) in [
            ("sqlite:convene.db", "convene.db"),
            ("sqlite:///var/c.db", "/var/c.db"),
            ("sqlite:/a b/c.db", "/a b/c.db"),
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl { path: path.into() }));
        }
        for text in ["sqlite:", "sqlite::memory:", "sqlite://:memory:", "sqlite:a.db?mode=memory"] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(DatabaseUrlError::NoFile), "{text}");
        }
        for text in ["", "convene.db", "postgres://localhost/convene", "mysql:x"] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(DatabaseUrlError::Scheme), "{text}");
        }
    }
}
