use std::{sync::Mutex, time::Instant};

use super::StoreError;

/// Whether the database can be reached. While it can't, nobody waits for it but one task that tries again and again.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Since when it can't be reached; `None`: it can, as far as anybody knows.
    down_since: Mutex<Option<Instant>>,
}

impl Health {
    /// Whether the database was away the last time that somebody tried.
    pub fn is_down(&self) -> bool {
        self.lock().is_some()
    }

    /// Refuses while the database is away.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_down() { Err(StoreError::Down) } else { Ok(()) }
    }

    /// Takes note of what somebody met who tried.
    pub fn record<T>(&self, result: &Result<T, StoreError>, database: &str) {
        let mut down_since = self.lock();
        match result {
            Ok(_) => {
                if let Some(since) = down_since.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!("the database is there again after {seconds} s: {database}");
                }
            }
            Err(StoreError::Down) => {}
            Err(error) if error.is_transient() && !error.is_out_of_connections() && down_since.is_none() => {
                *down_since = Some(Instant::now());
                tracing::error!(
                    %error,
                    "the database is away: {database}; what is in memory is still read, everything else is answered with \
                     \"try again\" until it is back"
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
    fn while_the_database_is_down_nobody_waits_for_it() {
        let health = Health::default();
        assert!(health.check().is_ok());
        health.record::<()>(&Err(StoreError::TimedOut(std::time::Duration::ZERO)), "test");
        assert!(health.is_down() && health.check().is_err());
        health.record(&Ok(()), "test");
        assert!(!health.is_down() && health.check().is_ok());
    }

    #[test]
    fn what_time_does_not_mend_does_not_mean_that_the_database_is_down() {
        let health = Health::default();
        health.record::<()>(&Err(StoreError::Conflict), "test");
        assert!(!health.is_down());
    }
}
