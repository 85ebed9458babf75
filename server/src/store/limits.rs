use std::time::Duration;

/// Limits on connections and times for PostgreSQL. A SQLite file needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseLimits {
    /// The most connections: one writes, one listens for notifications, and the others read.
    pub pool_size: u32,
    /// The longest time for a statement.
    pub statement_timeout: Duration,
    /// The longest wait for a connection, for example while the database restarts.
    pub acquire_timeout: Duration,
}

impl DatabaseLimits {
    /// The fewest connections that are enough.
    pub const MIN_POOL_SIZE: u32 = 3;

    /// How much longer than the database the server waits for a statement, so that the database can report its time-out.
    pub(super) const ANSWER: Duration = Duration::from_millis(500);
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self { pool_size: 8, statement_timeout: Duration::from_secs(10), acquire_timeout: Duration::from_secs(3) }
    }
}
