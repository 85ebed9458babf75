use std::time::{Duration, Instant};

/// Measures how long the registry has been unreachable, against `--offline-grace`.
pub struct OfflineGrace {
    grace: Duration,
    /// When the first attempt began that failed since the registry last answered.
    since: Option<Instant>,
}

impl OfflineGrace {
    /// Starts with a registry that is assumed to be reachable.
    pub fn new(grace: Duration) -> Self {
        Self { grace, since: None }
    }

    /// An attempt to reach the registry begins.
    pub fn record_attempt(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// The registry has answered.
    pub fn record_answer(&mut self) {
        self.since = None;
    }

    /// How much of the grace period is left.
    pub fn remaining(&self) -> Duration {
        self.since.map_or(self.grace, |since| self.grace.saturating_sub(since.elapsed()))
    }

    /// Whether the last attempt got no answer.
    pub fn is_unreachable(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_period_runs_from_the_first_failed_attempt() {
        let mut grace = OfflineGrace::new(Duration::from_secs(10));
        assert!(!grace.is_unreachable());
        grace.record_attempt();
        grace.record_attempt();
        assert!(grace.is_unreachable() && grace.remaining() <= Duration::from_secs(10));
        grace.record_answer();
        assert!(!grace.is_unreachable());
        assert_eq!(grace.remaining(), Duration::from_secs(10));
    }

    #[test]
    fn a_grace_period_of_zero_is_over_at_once() {
        let mut grace = OfflineGrace::new(Duration::ZERO);
        grace.record_attempt();
        assert_eq!(grace.remaining(), Duration::ZERO);
    }
}
