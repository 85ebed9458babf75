use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::StoreError;

/// How often a database that is away is tried again.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// Whether the database can be reached. While it can't, hardly anybody waits for it: one in a while tries, and the others
/// hear at once that it is away.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// `None`: it can be reached, as far as anybody knows.
    away: Mutex<Option<Away>>,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    tried: Instant,
}

impl Health {
    /// Whether the database was away the last time that somebody tried.
    pub fn is_away(&self) -> bool {
        self.lock().is_some()
    }

    /// Lets somebody try, unless somebody has just found that the database is away.
    pub fn ask(&self) -> Result<(), StoreError> {
        match &mut *self.lock() {
            Some(away) if away.tried.elapsed() < TRY_EVERY => Err(StoreError::Away),
            Some(away) => {
                away.tried = Instant::now();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes note of what somebody met who tried.
    pub fn note<T>(&self, result: &Result<T, StoreError>, database: &str) {
        let mut away = self.lock();
        match result {
            Ok(_) => {
                if let Some(away) = away.take() {
                    let seconds = away.since.elapsed().as_secs();
                    tracing::info!("the database is there again after {seconds} s: {database}");
                }
            }
            Err(StoreError::Away) => {}
            Err(error) if error.may_pass() && away.is_none() => {
                let now = Instant::now();
                *away = Some(Away { since: now, tried: now });
                tracing::error!(
                    %error,
                    "the database is away: {database}; what is in memory is still read, everything else is answered with \
                     \"try again\" until it is back"
                );
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Away>> {
        self.away.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_database_is_away_one_in_a_while_tries() {
        let health = Health::default();
        assert!(health.ask().is_ok() && health.ask().is_ok());
        health.note::<()>(&Err(StoreError::TimedOut(TRY_EVERY)), "test");
        assert!(health.is_away() && health.ask().is_err());
        std::thread::sleep(TRY_EVERY);
        assert!(health.ask().is_ok() && health.ask().is_err());
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
