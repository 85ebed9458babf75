use std::{fmt::Display, path::PathBuf};

use thiserror::Error;
use tokio::sync::Mutex;

use super::{
    Database, DatabaseLimits, DatabaseUrl, Health, Readers, Store, connection::Connection, migrations::migrate,
    postgres::PostgresDatabase, sqlite::SqliteFile, statement::Statement, transaction::Writer,
};

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
        "database {database} is newer than this convene-server: it has migration {migration}, which this binary does not \
         know; start the newer version"
    )]
    Newer {
        /// Which database.
        database: String,
        /// The migration.
        migration: i64,
    },
    /// Nobody has brought it up to date.
    #[error(
        "database {database} is older than this convene-server: it lacks migration {migration}; bring it up to date with \
         convene-server migrate"
    )]
    Older {
        /// Which database.
        database: String,
        /// The first migration that it lacks.
        migration: i64,
    },
    /// Nobody has ever started a server on it.
    #[error("database {database} holds no registry; is --database-url right?")]
    NoRegistry {
        /// Which database.
        database: String,
    },
    /// The database can't be had.
    #[error("database {database} can't be opened: {reason}")]
    CannotOpen {
        /// Which database.
        database: String,
        /// What the operating system or the database said.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn cannot_open(database: impl Display, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut reason = error.to_string();
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(database_error) = error.downcast_ref().and_then(sqlx::Error::as_database_error) {
                reason = explained(database_error);
                break;
            }
            // Some errors repeat what they come from.
            let said = error.to_string();
            if !reason.contains(&said) {
                reason = format!("{reason}: {said}");
            }
            cause = error.source();
        }
        if reason.contains("CaUsedAsEndEntity") {
            reason.push_str("; its certificate is a CA's own: give it one (CA:FALSE) that the CA has signed");
        }
        Self::CannotOpen { database: database.to_string(), reason: reason.replace('\n', " ") }
    }
}

/// What the database said, and what to do about it where that is known
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn explained(error: &dyn sqlx::error::DatabaseError) -> String {
    let remedy = match error.code().as_deref() {
        Some("42501") => "make the user the database's owner, or: grant create on schema public to this user",
        Some("25006") => "it is a standby or read-only; name the server that takes writes",
        Some("22P05") => "make the database with encoding 'UTF8'",
        Some("42P07") => "other tables are there; use a database of its own",
        Some("28P01") => "look at the user and the password in --database-url, PGPASSWORD and ~/.pgpass (mode 0600)",
        _ => return error.message().to_owned(),
    };
    format!("{}; {remedy}", error.message())
}

impl Store {
    /// Opens the database, creating a file where there is none, and brings it up to date.
    pub async fn open(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Self, OpenError> {
        let cannot_open = |error: sqlx::Error| OpenError::cannot_open(url, &error);
        let (database, mut writer, _) = connect(url, limits).await?;
        let registry_id = registry_id(&mut writer).await.map_err(cannot_open)?;
        let readers = match &database {
            Database::Sqlite(file) => Readers::Sqlite(file.readers().await.map_err(cannot_open)?),
            Database::Postgres(database) => Readers::Postgres(database.readers()),
        };
        let writer = Mutex::new(Writer::Open(writer));
        Ok(Self { database, limits, readers, writer, health: Health::default(), registry_id, name: url.to_string() })
    }
}

/// Takes the database and brings it up to date; says which migrations that took.
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

/// The registry's ID, which is drawn when somebody first asks for it.
pub(super) async fn registry_id(connection: &mut Connection) -> Result<String, sqlx::Error> {
    let drawn = format!("{:016x}", uuid::Uuid::now_v7().as_u64_pair().1);
    let insert = "insert into registry (id, cluster_id) values (1, $1) on conflict (id) do nothing";
    connection.execute(Statement::new(insert).bind(drawn)).await?;
    let row = connection.fetch_one(Statement::new("select cluster_id from registry where id = 1")).await?;
    row.try_get("cluster_id")
}
