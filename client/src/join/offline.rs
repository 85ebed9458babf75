use std::time::{Duration, Instant};

/// For how long the registry has been out of reach.
pub struct Offline {
    grace: Duration,
    /// When the first of the attempts began that failed since it was last reached.
    since: Option<Instant>,
}

impl Offline {
    /// It is there as far as anybody knows.
    pub fn new(grace: Duration) -> Self {
        Self { grace, since: None }
    }

    /// It is about to be asked.
    pub fn attempt(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// It has answered.
    pub fn is_back(&mut self) {
        self.since = None;
    }

    /// How much of the grace is left.
    pub fn left(&self) -> Duration {
        self.since.map_or(self.grace, |since| self.grace.saturating_sub(since.elapsed()))
    }

    /// Whether it did not answer when it was last asked.
    pub fn is_out(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_runs_from_the_first_attempt_that_failed() {
        let mut offline = Offline::new(Duration::from_secs(10));
        assert!(!offline.is_out());
        offline.attempt();
        offline.attempt();
        assert!(offline.is_out() && offline.left() <= Duration::from_secs(10));
        offline.is_back();
        assert!(!offline.is_out());
        assert_eq!(offline.left(), Duration::from_secs(10));
    }

    #[test]
    fn no_grace_is_none() {
        let mut offline = Offline::new(Duration::ZERO);
        offline.attempt();
        assert_eq!(offline.left(), Duration::ZERO);
    }
}
