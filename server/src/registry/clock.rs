use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use convene_lifecycle::UnixMillis;

/// The largest difference to the database's clock that is ignored. A measurement takes less time than that.
pub(super) const TOLERANCE: Duration = Duration::from_millis(250);

/// A clock that is monotonic while the server runs. A correction of the machine's time must not change how long a member
/// has been silent. Servers on one database set it to the database's clock, because each of them stores times that the
/// others read.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// The time at `started`, in milliseconds since 1970.
    started_at: AtomicI64,
}

impl Clock {
    /// A clock that starts at the machine's time.
    pub fn new() -> Self {
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        Self { started: Instant::now(), started_at: AtomicI64::new(i64::try_from(at).unwrap_or(i64::MAX)) }
    }

    /// The present time.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.started_at.load(Ordering::Relaxed)).after(self.started.elapsed())
    }

    /// Sets the clock, unless the difference is small.
    pub fn set(&self, now: UnixMillis) {
        let difference = now.0.saturating_sub(self.now().0);
        if u128::from(difference.unsigned_abs()) > TOLERANCE.as_millis() {
            self.started_at.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_continues_from_the_time_that_it_is_set_to() {
        let clock = Clock::new();
        let there = UnixMillis(1_000_000);
        clock.set(there);
        assert!(there.age(clock.now()) < Duration::from_secs(5) && clock.now() >= there);
        clock.set(UnixMillis(clock.now().0 + 200));
        assert!(there.age(clock.now()) < Duration::from_secs(5));
    }
}
