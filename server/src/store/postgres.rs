use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{DatabaseLimits, connection::Connection};

/// The connections besides those that read: one writes, and one listens for notifications of other servers.
const OTHER_CONNECTIONS: u32 = 2;

/// The most prepared statements of a connection: each size of a batch has a text of its own; see [`super::connection`].
const CACHED_STATEMENTS: usize = 256;

/// A PostgreSQL database, which other servers may use as well.
#[derive(Debug)]
pub(super) struct PostgresDatabase {
    options: PgConnectOptions,
    limits: DatabaseLimits,
}

impl PostgresDatabase {
    pub fn new(options: &PgConnectOptions, limits: DatabaseLimits) -> Self {
        let options = options
            .clone()
            .disable_statement_logging()
            .statement_cache_capacity(CACHED_STATEMENTS)
            // Hides the notice that the table of migrations exists already.
            .options([("client_min_messages", "warning")]);
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("convene-server"),
        };
        Self { options, limits }
    }

    /// Opens a connection that can read and write.
    pub async fn connect(&self) -> Result<Connection, sqlx::Error> {
        self.limited().connect().await.map(Connection::Postgres)
    }

    /// The pool of connections that read. Opens them on demand.
    pub fn readers(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(self.limits.pool_size.saturating_sub(OTHER_CONNECTIONS).max(1))
            .acquire_timeout(self.limits.acquire_timeout)
            .connect_lazy_with(self.limited())
    }

    /// The pool of the one connection that listens.
    pub fn listener(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.limits.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone())
    }

    /// The database itself ends statements that take too long. A server that hangs in a transaction must lose its locks before
    /// the others give up waiting for them.
    fn limited(&self) -> PgConnectOptions {
        let DatabaseLimits { statement_timeout, acquire_timeout, .. } = self.limits;
        let options = [
            ("statement_timeout", statement_timeout),
            ("lock_timeout", acquire_timeout.min(statement_timeout)),
            ("idle_in_transaction_session_timeout", acquire_timeout.min(statement_timeout) / 2),
        ];
        self.options.clone().options(options.map(|(name, limit)| (name, limit.as_millis().to_string())))
    }
}
