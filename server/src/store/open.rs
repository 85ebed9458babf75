use std::{fmt::Display, path::PathBuf};

use thiserror::Error;
use tokio::sync::Mutex;

use super::{
    Database, DatabaseLimits, DatabaseUrl, Durability, Health, Loss, Readers, Store, connection::Connection,
    migrations::migrate, postgres::PostgresDatabase, sqlite::SqliteFile, statement::Statement, transaction::Writer,
};
use crate::metrics::DatabaseMetrics;

/// Why the database can't be used, in one line for the person who starts the server.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another server owns the file.
    #[error("database {} is in use by another convene-server; only one process at a time can use a SQLite file", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// Another user may have prepared the file.
    #[error(
        "{} belongs to user ID {uid}, and everybody may write to its directory; remove the file if it is not yours, \
         and use a directory that only this user can write to (--database-url)",
        file.display()
    )]
    OfAnotherUser {
        /// The file.
        file: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A newer server has migrated it.
    #[error(
        "database {database} is newer than this convene-server: it has migration {migration}, which this binary does not \
         know; start the newer version"
    )]
    Newer {
        /// The database.
        database: String,
        /// The migration.
        migration: i64,
    },
    /// The database has not been migrated to this version.
    #[error(
        "database {database} is older than this convene-server: it lacks migration {migration}; run convene-server migrate"
    )]
    Older {
        /// The database.
        database: String,
        /// The first migration that it lacks.
        migration: i64,
    },
    /// The database has never been migrated.
    #[error("database {database} holds no registry; check --database-url")]
    NoRegistry {
        /// The database.
        database: String,
    },
    /// The database can't be opened.
    #[error("can't open database {database}: {reason}")]
    CannotOpen {
        /// The database.
        database: String,
        /// The error of the operating system or the database.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn cannot_open(database: impl Display, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut reason = error.to_string();
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(database_error) = error.downcast_ref().and_then(sqlx::Error::as_database_error) {
                reason = with_remedy(database_error);
                break;
            }
            // Some errors repeat their source.
            let message = error.to_string();
            if !reason.contains(&message) {
                reason = format!("{reason}: {message}");
            }
            cause = error.source();
        }
        if reason.contains("CaUsedAsEndEntity") {
            reason.push_str(
                "; its certificate is a CA certificate: use a server certificate (CA:FALSE) that the CA has signed",
            );
        }
        Self::CannotOpen { database: database.to_string(), reason: reason.replace('\n', " ") }
    }
}

/// The database's message, and the remedy if there is one
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn with_remedy(error: &dyn sqlx::error::DatabaseError) -> String {
    let remedy = match error.code().as_deref() {
        Some("42501") => "make the user the database's owner, or: grant create on schema public to this user",
        Some("25006") => "it is a standby or read-only; use the URL of the primary",
        Some("22P05") => "create the database with encoding 'UTF8'",
        Some("42P07") => "the database has other tables; use a separate database",
        Some("28P01") => "check the user and the password in --database-url, PGPASSWORD and ~/.pgpass (mode 0600)",
        _ => return error.message().to_owned(),
    };
    format!("{}; {remedy}", error.message())
}

impl Store {
    /// Opens the database and applies the missing migrations. Creates the file of a SQLite database if there is none.
    pub async fn open(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Self, OpenError> {
        let cannot_open = |error: sqlx::Error| OpenError::cannot_open(url, &error);
        let (database, mut writer, _) = connect(url, limits).await?;
        let registry_id = registry_id(&mut writer).await.map_err(cannot_open)?;
        let readers = match &database {
            Database::Sqlite(file) => Readers::Sqlite(file.readers().await.map_err(cannot_open)?),
            Database::Postgres(database) => Readers::Postgres(database.readers()),
        };
        let store = Self {
            database,
            limits,
            readers,
            writer: Mutex::new(Writer::Lost),
            health: Health::default(),
            durability: Durability::default(),
            loss: Loss::default(),
            metrics: DatabaseMetrics::default(),
            registry_id,
            name: url.to_string(),
        };
        store.note_system(&mut writer).await.map_err(|error| OpenError::cannot_open(url, &error))?;
        *store.writer.lock().await = Writer::Open(writer);
        Ok(store)
    }
}

/// Connects to the database, applies the missing migrations, and returns them.
pub(super) async fn connect(
    url: &DatabaseUrl,
    limits: DatabaseLimits,
) -> Result<(Database, Connection, Vec<String>), OpenError> {
    let database = match url {
        DatabaseUrl::Sqlite(path) => Database::Sqlite(SqliteFile::take(path)?),
        DatabaseUrl::Postgres(options) => Database::Postgres(Box::new(PostgresDatabase::new(options, limits))),
    };
    let connected = database.connect(limits.acquire_timeout, limits).await;
    let mut connection = connected.map_err(|error| OpenError::cannot_open(url, &error))?;
    let applied = migrate(&mut connection, url).await?;
    Ok((database, connection, applied))
}

/// The registry's ID. The first caller draws it.
pub(super) async fn registry_id(connection: &mut Connection) -> Result<String, sqlx::Error> {
    let drawn = format!("{:016x}", uuid::Uuid::now_v7().as_u64_pair().1);
    let insert = "insert into registry (id, cluster_id) values (1, $1) on conflict (id) do nothing";
    connection.execute(Statement::new(insert).bind(drawn)).await?;
    let row = connection.fetch_one(Statement::new("select cluster_id from registry where id = 1")).await?;
    row.try_get("cluster_id")
}
