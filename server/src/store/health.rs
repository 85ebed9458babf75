use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::StoreError;

/// Whether the database can be reached. While it can't, one task tries to reach it, and all others fail at once.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When the database was found to be down; `None` if the last attempt succeeded.
    down_since: Mutex<Option<Instant>>,
    /// Whether the database accepts no further connections.
    is_crowded: AtomicBool,
}

impl Health {
    /// Whether the last attempt to reach the database failed.
    pub fn is_down(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether the database accepts no further connections. Those that exist still work.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// Records the result of an attempt to open a connection, and logs when the database stops or begins to accept them.
    pub fn record_connect<T>(&self, result: &Result<T, StoreError>, database: &str) {
        let is_crowded = matches!(result, Err(error) if error.is_out_of_connections());
        match (self.is_crowded.swap(is_crowded, Ordering::Relaxed), is_crowded, result) {
            (false, true, Err(error)) => tracing::error!(
                database,
                %error,
                "the database accepts no further connections; until it does, serving reads from memory if no connection is free"
            ),
            (true, false, Ok(_)) => tracing::info!(database, "the database accepts connections again"),
            _ => {}
        }
    }

    /// For how long the database has been down; `None` if the last attempt to reach it succeeded.
    pub fn down_for(&self) -> Option<Duration> {
        self.lock().map(|since| since.elapsed())
    }

    /// Fails while the database is down.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_down() { Err(StoreError::Down) } else { Ok(()) }
    }

    /// Records the result of an attempt to reach the database, and logs when it goes down or comes back.
    pub fn record<T>(&self, result: &Result<T, StoreError>, database: &str) {
        let mut down_since = self.lock();
        match result {
            Ok(_) => {
                if let Some(since) = down_since.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(database, seconds, "the database is back");
                }
            }
            Err(StoreError::Down | StoreError::Crowded) => {}
            Err(error) if error.is_transient() && !error.is_out_of_connections() && down_since.is_none() => {
                *down_since = Some(Instant::now());
                tracing::error!(
                    database,
                    %error,
                    "the database is down; until it is back, serving reads from memory, and asking clients of all \
                     other requests to retry"
                );
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.down_since.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_database_is_down_all_calls_fail_at_once() {
        let health = Health::default();
        assert!(health.check().is_ok());
        health.record::<()>(&Err(StoreError::TimedOut(std::time::Duration::ZERO)), "test");
        assert!(health.is_down() && health.check().is_err());
        health.record(&Ok(()), "test");
        assert!(!health.is_down() && health.check().is_ok());
    }

    #[test]
    fn a_database_that_accepts_connections_again_is_not_crowded() {
        let health = Health::default();
        health.record_connect::<()>(&Err(StoreError::TimedOut(std::time::Duration::ZERO)), "test");
        assert!(!health.is_crowded());
        health.is_crowded.store(true, Ordering::Relaxed);
        health.record_connect(&Ok(()), "test");
        assert!(!health.is_crowded());
    }

    #[test]
    fn an_error_that_no_retry_helps_does_not_mean_that_the_database_is_down() {
        let health = Health::default();
        health.record::<()>(&Err(StoreError::Conflict), "test");
        assert!(!health.is_down());
    }
}
