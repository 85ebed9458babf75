use std::time::Duration;

/// How much of a PostgreSQL server one `convene-server` takes, and how long it waits for it. A SQLite file needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseLimits {
    /// How many connections there are at most: one writes, one listens, and the others read.
    pub pool_size: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long one waits for a connection, also while the database is being restarted.
    pub acquire_timeout: Duration,
}

impl DatabaseLimits {
    /// The fewest connections that do everything.
    pub const MIN_POOL_SIZE: u32 = 3;

    /// How much later than the database itself we give up a statement, so that the database's own word comes first.
    pub(super) const ANSWER: Duration = Duration::from_millis(500);
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self { pool_size: 8, statement_timeout: Duration::from_secs(10), acquire_timeout: Duration::from_secs(3) }
    }
}
