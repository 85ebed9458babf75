use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use convene_lifecycle::UnixMillis;

/// By how much the clocks may differ before ours is set: longer than it may take to ask the database.
pub(super) const TOLERANCE: Duration = Duration::from_millis(250);

/// The present moment, by one that nobody sets while the server runs: how long a member has been silent must not depend
/// on when somebody corrected the time of this machine. Servers of one database all go by the database's clock, because
/// each of them writes down times that the others read.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    began_at: AtomicI64,
}

impl Clock {
    /// Goes by this machine's clock as it is now.
    pub fn new() -> Self {
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        Self { began: Instant::now(), began_at: AtomicI64::new(i64::try_from(at).unwrap_or(i64::MAX)) }
    }

    /// The present moment.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.began_at.load(Ordering::Relaxed)).after(self.began.elapsed())
    }

    /// Goes by another clock, which shows this.
    pub fn set(&self, now: UnixMillis) {
        let difference = now.0.saturating_sub(self.now().0);
        if u128::from(difference.unsigned_abs()) > TOLERANCE.as_millis() {
            self.began_at.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_goes_on_from_there() {
        let clock = Clock::new();
        let there = UnixMillis(1_000_000);
        clock.set(there);
        assert!(there.age(clock.now()) < Duration::from_secs(5) && clock.now() >= there);
        clock.set(UnixMillis(clock.now().0 + 200));
        assert!(there.age(clock.now()) < Duration::from_secs(5));
    }
}
