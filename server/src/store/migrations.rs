use std::sync::LazyLock;

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{
    DatabaseLimits, DatabaseUrl, OpenError, Store,
    connection::{Connection, Row},
    open::{connect, registry_id},
    statement::Statement,
};

pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().map(migration).collect()));

/// [`MIGRATIONS`] for SQLite. Only a key of type `integer` is SQLite's own key of a row (`rowid`); for any other one it keeps an index
/// besides, which each write changes too. PostgreSQL's `integer` is too small. A database from before goes on with its indexes.
static MIGRATIONS_FOR_SQLITE: LazyLock<Migrator> = LazyLock::new(|| {
    let for_sqlite = |original: &Migration| {
        let text = original.sql.as_str().replace("bigint primary key", "integer primary key");
        Migration { sql: AssertSqlSafe(text).into_sql_str(), ..original.clone() }
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(for_sqlite).collect())
});

/// Every file of `migrations/`: its number, its description and its text.
///
/// `sqlx::migrate!` could list them, but that macro links both database drivers with their TLS, so Cargo would compile all of
/// these a second time.
const FILES: [(i64, &str, &str); 16] = [
    (1, "initial", include_str!("../../../migrations/0001_initial.sql")),
    (2, "lifecycle", include_str!("../../../migrations/0002_lifecycle.sql")),
    (3, "v3 discovery", include_str!("../../../migrations/0003_v3_discovery.sql")),
    (4, "shared sightings", include_str!("../../../migrations/0004_shared_sightings.sql")),
    (5, "liveness", include_str!("../../../migrations/0005_liveness.sql")),
    (6, "evidence", include_str!("../../../migrations/0006_evidence.sql")),
    (7, "discovery url", include_str!("../../../migrations/0007_discovery_url.sql")),
    (8, "lowered size", include_str!("../../../migrations/0008_lowered_size.sql")),
    (9, "write id", include_str!("../../../migrations/0009_write_id.sql")),
    (10, "disk and given up", include_str!("../../../migrations/0010_disk_and_given_up.sql")),
    (11, "access", include_str!("../../../migrations/0011_access.sql")),
    (12, "stock writes", include_str!("../../../migrations/0012_stock_writes.sql")),
    (13, "join tokens", include_str!("../../../migrations/0013_join_tokens.sql")),
    (14, "own downtimes", include_str!("../../../migrations/0014_own_downtimes.sql")),
    (15, "indexes", include_str!("../../../migrations/0015_indexes.sql")),
    (16, "fewer indexes", include_str!("../../../migrations/0016_fewer_indexes.sql")),
];

impl Store {
    /// Applies the missing migrations, and returns them. Creates the file of a SQLite database if there is none.
    pub async fn migrate(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Vec<String>, OpenError> {
        let (_database, mut connection, applied) = connect(url, limits).await?;
        registry_id(&mut connection).await.map_err(|error| OpenError::cannot_open(url, &error))?;
        connection.close().await.map_err(|error| OpenError::cannot_open(url, &error))?;
        Ok(applied)
    }
}

/// Applies the missing migrations, and returns them. On PostgreSQL, servers that start at the same time wait for each other.
pub(super) async fn migrate(connection: &mut Connection, url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    let cannot_open = |error: sqlx::Error| OpenError::cannot_open(url, &error);
    // A new database has no table of migrations.
    let before = applied(connection).await.unwrap_or_default();
    // A server that has nothing to migrate needs no right to create tables.
    if MIGRATIONS.iter().map(|migration| migration.version).eq(before.iter().copied()) {
        return Ok(Vec::new());
    }
    if connection.is_shared() {
        connection.run("set statement_timeout = 0").await.map_err(cannot_open)?;
    }
    let migrations = if connection.is_shared() { &MIGRATIONS } else { &MIGRATIONS_FOR_SQLITE };
    connection.migrate(migrations).await.map_err(|error| match error {
        MigrateError::VersionMissing(migration) => OpenError::Newer { database: url.to_string(), migration },
        other => OpenError::cannot_open(url, &other),
    })?;
    if connection.is_shared() {
        connection.run("reset statement_timeout").await.map_err(cannot_open)?;
    }
    let missing = MIGRATIONS.iter().filter(|migration| !before.contains(&migration.version));
    Ok(missing.map(|migration| format!("{:04} {}", migration.version, migration.description)).collect())
}

/// Checks that a database has exactly the migrations that this binary knows.
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

/// The numbers of the migrations that were applied completely (sqlx, `migrate/migrate.rs`).
async fn applied(connection: &mut Connection) -> Result<Vec<i64>, sqlx::Error> {
    let statement = Statement::new("select version from _sqlx_migrations where success order by version");
    let rows = connection.fetch_all(statement.cache(false)).await?;
    rows.iter().map(|row: &Row| row.try_get("version")).collect()
}

fn migration(&(version, description, text): &(i64, &'static str, &'static str)) -> Migration {
    Migration::new(version, description.into(), MigrationType::Simple, text.into_sql_str(), false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::{ConnectOptions, Connection as _};

    use super::*;

    /// The migrations as sqlx itself reads them, and as `sqlx::migrate!` embedded them into earlier servers.
    async fn of_folder() -> Migrator {
        Migrator::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))).await.unwrap()
    }

    #[tokio::test]
    async fn every_migration_file_is_embedded() {
        let folder = of_folder().await;
        assert_eq!(MIGRATIONS.iter().len(), folder.iter().len());
        for (embedded, file) in MIGRATIONS.iter().zip(folder.iter()) {
            assert_eq!((embedded.version, &embedded.description), (file.version, &file.description));
            assert_eq!(embedded.checksum, file.checksum, "{}", file.description);
        }
    }

    #[tokio::test]
    async fn a_database_that_an_earlier_server_migrated_is_up_to_date() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("c.db");
        let mut connection = crate::store::sqlite::options(&path).create_if_missing(true).connect().await.unwrap();
        of_folder().await.run(&mut connection).await.unwrap();
        // The migrator compares the checksums, which opening leaves out if nothing is missing.
        MIGRATIONS.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();

        let url = DatabaseUrl::Sqlite(path);
        let applied = Store::migrate(&url, DatabaseLimits::default()).await.unwrap();
        assert_eq!(applied, Vec::<String>::new());
    }
}
