use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection as _, PgConnection, PgPool,
    pool::PoolConnectionMetadata,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{DatabaseLimits, connection::Connection};

/// The connections besides those that read: one writes, and one listens for notifications of other servers.
const OTHER_CONNECTIONS: u32 = 2;

/// How soon a connection that has been idle must answer. One that does not may have been forgotten by a firewall, and is replaced.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How PostgreSQL checks connections. The driver has no such settings for this end, but the probes keep firewalls from
/// forgetting idle connections whichever end sends them. All of them are without effect on a Unix socket.
const TCP_SETTINGS: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Milliseconds.
    ("tcp_user_timeout", "30000"),
];

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
            .options([("client_min_messages", "warning")])
            .options(TCP_SETTINGS);
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
            // Instead of the pool's own test, which waits without a limit of its own.
            .test_before_acquire(false)
            .before_acquire(Self::test())
            .connect_lazy_with(self.limited())
    }

    /// Tests a connection that has been idle. If one does not answer, those that were opened before that are replaced as well,
    /// so that they don't cost the same time one after the other.
    fn test() -> impl Fn(&mut PgConnection, PoolConnectionMetadata) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
        let suspected = Arc::new(Mutex::new(None::<Instant>));
        move |connection, about| {
            let suspected = suspected.clone();
            Box::pin(async move {
                let before = |moment: Instant| moment.elapsed() < about.age;
                if suspected.lock().expect("no holder panics").is_some_and(before) {
                    return Ok(false);
                }
                let answered = timeout(PING_TIMEOUT, connection.ping()).await;
                if answered.is_err() {
                    *suspected.lock().expect("no holder panics") = Some(Instant::now());
                }
                Ok(matches!(answered, Ok(Ok(()))))
            })
        }
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
