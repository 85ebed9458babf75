//! How long the agent waits before it starts etcd again.

use std::time::Duration;

use super::status::Exit;
use crate::boot_clock::BootInstant;

/// The pause after the first failed run.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// After this time of answers, a run of etcd is no failed one.
const STABLE: Duration = Duration::from_secs(60);

/// The restarts of etcd. Each failed run doubles the pause.
#[derive(Debug)]
pub struct Restarts {
    longest: Duration,
    failed: u32,
    has_started: bool,
    /// Since when the etcd that runs answers.
    answers_since: Option<BootInstant>,
}

impl Restarts {
    /// No run has failed yet. `longest` is the longest pause.
    pub fn new(longest: Duration) -> Self {
        Self { longest, failed: 0, has_started: false, answers_since: None }
    }

    /// etcd starts. Returns whether it has run before.
    pub fn begin(&mut self) -> bool {
        std::mem::replace(&mut self.has_started, true)
    }

    /// etcd answers now.
    pub fn record_answer(&mut self) {
        self.answers_since.get_or_insert_with(BootInstant::now);
    }

    /// The pause after etcd has ended; `None` if it is not known how. There is none if etcd had run well and ended cleanly: it was
    /// removed from the cluster, or a person has stopped it.
    pub fn pause_after(&mut self, exit: Option<Exit>) -> Duration {
        let was_stable = self.answers_since.take().is_some_and(|since| since.elapsed() >= STABLE);
        if was_stable && exit.is_some_and(Exit::is_clean) {
            self.failed = 0;
            return Duration::ZERO;
        }
        self.failed = if was_stable { 1 } else { self.failed.saturating_add(1) };
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failed - 1)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Exit = Exit::Code(2);

    fn pauses(restarts: &mut Restarts, count: usize) -> Vec<u64> {
        (0..count).map(|_| restarts.pause_after(Some(CRASH)).as_secs()).collect()
    }

    #[test]
    fn the_pause_grows_with_each_failed_run() {
        let mut restarts = Restarts::new(Duration::from_secs(30));
        assert_eq!(pauses(&mut restarts, 7), [1, 2, 4, 8, 16, 30, 30]);
        // A program that ends at once is no etcd that was removed.
        assert_eq!(restarts.pause_after(Some(Exit::Code(0))), Duration::from_secs(30));
    }

    #[test]
    fn a_run_that_answered_for_a_minute_was_none() {
        let mut restarts = Restarts::new(Duration::from_secs(30));
        assert_eq!(pauses(&mut restarts, 3), [1, 2, 4]);
        restarts.record_answer();
        assert_eq!(pauses(&mut restarts, 1), [8]);
        restarts.answers_since = Some(BootInstant::ago(STABLE));
        assert_eq!(pauses(&mut restarts, 2), [1, 2]);
        restarts.answers_since = Some(BootInstant::ago(STABLE));
        assert_eq!(restarts.pause_after(Some(Exit::Code(0))), Duration::ZERO);
        assert_eq!(pauses(&mut restarts, 2), [1, 2]);
    }
}
