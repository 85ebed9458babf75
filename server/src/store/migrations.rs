use sqlx::migrate::{MigrateError, Migrator};

use super::{
    DatabaseLimits, DatabaseUrl, OpenError, Store,
    connection::{Connection, Row},
    open::{connect, registry_id},
    statement::Statement,
};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

impl Store {
    /// Brings a database up to date, creating a file where there is none, and says which migrations that took.
    pub async fn migrate(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Vec<String>, OpenError> {
        let (_database, mut connection, applied) = connect(url, limits).await?;
        registry_id(&mut connection).await.map_err(|error| OpenError::cannot_open(url, &error))?;
        connection.close().await.map_err(|error| OpenError::cannot_open(url, &error))?;
        Ok(applied)
    }
}

/// Brings the database up to date, and returns what was missing. On PostgreSQL one server at a time does so: the others
/// wait for its lock.
pub(super) async fn migrate(connection: &mut Connection, url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    let cannot_open = |error: sqlx::Error| OpenError::cannot_open(url, &error);
    // Where nothing was ever applied there is no table to say so.
    let before = applied(connection).await.unwrap_or_default();
    // Who only serves needs no right to make tables.
    if MIGRATIONS.iter().map(|migration| migration.version).eq(before.iter().copied()) {
        return Ok(Vec::new());
    }
    if connection.is_shared() {
        connection.run("set statement_timeout = 0").await.map_err(cannot_open)?;
    }
    connection.migrate(&MIGRATIONS).await.map_err(|error| match error {
        MigrateError::VersionMissing(migration) => OpenError::Newer { database: url.to_string(), migration },
        other => OpenError::cannot_open(url, &other),
    })?;
    if connection.is_shared() {
        connection.run("reset statement_timeout").await.map_err(cannot_open)?;
    }
    let missing = MIGRATIONS.iter().filter(|migration| !before.contains(&migration.version));
    Ok(missing.map(|migration| format!("{:04} {}", migration.version, migration.description)).collect())
}

/// Whether a database can be read as it is.
pub(super) async fn check_migrations(connection: &mut Connection, url: &DatabaseUrl) -> Result<(), OpenError> {
    let applied = applied(connection).await.map_err(|error| match error {
        sqlx::Error::Database(_) => OpenError::NoRegistry { database: url.to_string() },
        other => OpenError::cannot_open(url, &other),
    })?;
    let is_known = |version: &&i64| MIGRATIONS.iter().any(|migration| migration.version == **version);
    if let Some(unknown) = applied.iter().find(|version| !is_known(version)) {
        return Err(OpenError::Newer { database: url.to_string(), migration: *unknown });
    }
    match MIGRATIONS.iter().find(|migration| !applied.contains(&migration.version)) {
        Some(missing) => Err(OpenError::Older { database: url.to_string(), migration: missing.version }),
        None => Ok(()),
    }
}

/// The numbers of the migrations that were applied to their end (sqlx, `migrate/migrate.rs`).
async fn applied(connection: &mut Connection) -> Result<Vec<i64>, sqlx::Error> {
    let statement = Statement::new("select version from _sqlx_migrations where success order by version");
    let rows = connection.fetch_all(statement.keep(false)).await?;
    rows.iter().map(|row: &Row| row.try_get("version")).collect()
}
