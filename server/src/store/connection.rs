use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection as _, Decode, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection,
    Type, ValueRef as _,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    postgres::PgRow,
    query::Query,
    sqlite::SqliteRow,
};

use super::statement::{Argument, Statement, Value};

/// A connection to either database. Both take the same [`Statement`]s; a `match` shows each difference.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    /// From a pool, to which it returns.
    SqliteOfPool(PoolConnection<Sqlite>),
    /// From a pool, to which it returns.
    PostgresOfPool(PoolConnection<Postgres>),
}

/// A row of a result.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Evaluates an expression for each kind of connection.
macro_rules! on {
    ($connection:expr, $inner:ident => $sqlite:expr, $postgres:expr) => {
        match $connection {
            Connection::Sqlite($inner) => $sqlite,
            Connection::SqliteOfPool(pooled) => {
                let $inner = &mut **pooled;
                $sqlite
            }
            Connection::Postgres($inner) => $postgres,
            Connection::PostgresOfPool(pooled) => {
                let $inner = &mut **pooled;
                $postgres
            }
        }
    };
}

impl Connection {
    /// Executes a statement, and returns the number of rows that it has changed.
    pub async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, sqlx::Error> {
        on!(self, connection =>
            Ok(sqlite(statement).execute(connection).await?.rows_affected()),
            Ok(postgres(statement).execute(connection).await?.rows_affected()))
    }

    /// Executes a statement, and returns the rows of its result.
    pub async fn fetch_all(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        on!(self, connection =>
            Ok(sqlite(statement).fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect()),
            Ok(postgres(statement).fetch_all(connection).await?.into_iter().map(Row::Postgres).collect()))
    }

    /// Executes a statement whose result is one row.
    pub async fn fetch_one(&mut self, statement: Statement<'_>) -> Result<Row, sqlx::Error> {
        self.fetch_all(statement).await?.pop().ok_or(sqlx::Error::RowNotFound)
    }

    /// Executes SQL without values, such as `begin`.
    pub async fn run(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        on!(self, connection =>
            sqlx::raw_sql(text).execute(connection).await.map(drop),
            sqlx::raw_sql(text).execute(connection).await.map(drop))
    }

    /// Applies the migrations that are missing.
    pub async fn migrate(&mut self, migrations: &Migrator) -> Result<(), MigrateError> {
        on!(self, connection => migrations.run(connection).await, migrations.run(connection).await)
    }

    /// Closes the connection at once, and never returns it to its pool.
    pub fn discard(self) {
        match self {
            Self::Sqlite(connection) => drop(connection),
            Self::Postgres(connection) => drop(connection),
            Self::SqliteOfPool(pooled) => drop(pooled.detach()),
            Self::PostgresOfPool(pooled) => drop(pooled.detach()),
        }
    }

    /// Whether other servers may write to the database.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::PostgresOfPool(_))
    }

    /// Closes the connection in order.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
            Self::SqliteOfPool(pooled) => pooled.close().await,
            Self::PostgresOfPool(pooled) => pooled.close().await,
        }
    }
}

fn sqlite(statement: Statement<'_>) -> Query<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
    let (text, values, is_cached) = statement.for_sqlite();
    let query = sqlx::query(AssertSqlSafe(text)).persistent(is_cached);
    values.into_iter().fold(query, |query, value| match value {
        Value::Integer(integer) => query.bind(integer),
        Value::Text(text) => query.bind(text.map(Cow::into_owned)),
    })
}

fn postgres(statement: Statement<'_>) -> Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
    let (text, arguments, is_cached) = statement.for_postgres();
    let query = sqlx::query(AssertSqlSafe(text)).persistent(is_cached);
    arguments.into_iter().fold(query, |query, argument| match argument {
        Argument::One(Value::Integer(integer)) => query.bind(integer),
        Argument::One(Value::Text(text)) => query.bind(text.map(Cow::into_owned)),
        Argument::Integers(integers) => query.bind(integers),
        Argument::Texts(texts) => query.bind(texts),
    })
}

impl Row {
    /// The value of a column, by its name or its index: an integer or a text, or an `Option` of one.
    pub fn try_get<'r, T>(&'r self, column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// Whether a column is null.
    pub fn is_null(&self, index: usize) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get_raw(index)?.is_null()),
            Self::Postgres(row) => Ok(row.try_get_raw(index)?.is_null()),
        }
    }
}
