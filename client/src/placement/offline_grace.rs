use std::time::Duration;

use crate::boot_clock::BootInstant;

/// Measures how long this node has got no instruction, against `--offline-grace`.
pub struct OfflineGrace {
    grace: Duration,
    /// When the first attempt began since the last instruction.
    since: Option<BootInstant>,
}

impl OfflineGrace {
    /// Starts with a registry that is assumed to be reachable.
    pub fn new(grace: Duration) -> Self {
        Self { grace, since: None }
    }

    /// `--offline-grace`.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// An attempt to get an instruction begins.
    pub fn record_attempt(&mut self) {
        self.since.get_or_insert_with(BootInstant::now);
    }

    /// The registry has instructed this node.
    pub fn record_answer(&mut self) {
        self.since = None;
    }

    /// How much of the grace period is left.
    pub fn remaining(&self) -> Duration {
        self.since.map_or(self.grace, |since| self.grace.saturating_sub(since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_period_runs_from_the_first_failed_attempt() {
        let mut grace = OfflineGrace::new(Duration::from_secs(10));
        grace.record_attempt();
        let first = grace.since;
        grace.record_attempt();
        assert_eq!(grace.since, first);
        assert!(grace.remaining() <= Duration::from_secs(10));
        grace.record_answer();
        assert_eq!(grace.remaining(), Duration::from_secs(10));
    }

    #[test]
    fn a_grace_period_of_zero_is_over_at_once() {
        let mut grace = OfflineGrace::new(Duration::ZERO);
        grace.record_attempt();
        assert_eq!(grace.remaining(), Duration::ZERO);
    }
}
