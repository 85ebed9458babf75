use std::{sync::Mutex, time::Instant};

use super::StoreError;

/// Whether the database can be reached. While it can't, nobody waits for it but one task that tries again and again.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Since when it can't be reached; `None`: it can, as far as anybody knows.
    away: Mutex<Option<Instant>>,
}

impl Health {
    /// Whether the database was away the last time that somebody tried.
    pub fn is_away(&self) -> bool {
        self.lock().is_some()
    }

    /// Refuses while the database is away.
    pub fn ask(&self) -> Result<(), StoreError> {
        if self.is_away() { Err(StoreError::Away) } else { Ok(()) }
    }

    /// Takes note of what somebody met who tried.
    pub fn note<T>(&self, result: &Result<T, StoreError>, database: &str) {
        let mut away = self.lock();
        match result {
            Ok(_) => {
                if let Some(since) = away.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!("the database is there again after {seconds} s: {database}");
                }
            }
            Err(StoreError::Away) => {}
            Err(error) if error.may_pass() && !error.is_crowded() && away.is_none() => {
                *away = Some(Instant::now());
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
        self.away.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_database_is_away_nobody_waits_for_it() {
        let health = Health::default();
        assert!(health.ask().is_ok());
        health.note::<()>(&Err(StoreError::TimedOut(std::time::Duration::ZERO)), "test");
        assert!(health.is_away() && health.ask().is_err());
        health.note(&Ok(()), "test");
        assert!(!health.is_away() && health.ask().is_ok());
    }

    #[test]
    fn what_time_does_not_mend_does_not_mean_that_the_database_is_away() {
        let health = Health::default();
        health.note::<()>(&Err(StoreError::Conflict), "test");
        assert!(!health.is_away());
    }
}
