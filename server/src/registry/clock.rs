use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use convene_lifecycle::UnixMillis;

/// A clock that is monotonic while the server runs. A correction of the machine's time must not change how long a member
/// has been silent. Servers on one database set it to the database's clock, because each of them stores times that the
/// others read.
///
/// It is never ahead of the database's clock, whatever a measurement takes: a time in the future would hide for as long that a
/// member is dead. It is behind by [`Clock::uncertainty`] at most.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// The time at `started`, in milliseconds since 1970.
    started_at: AtomicI64,
    /// What the database's time at `started` can have been; `None` as long as nothing has been measured.
    bounds: Mutex<Option<Bounds>>,
}

/// The earliest and the latest time that agree with measurements, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    earliest: i64,
    latest: i64,
}

impl Clock {
    /// A clock that starts at the machine's time.
    pub fn new() -> Self {
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let started_at = AtomicI64::new(i64::try_from(at).unwrap_or(i64::MAX));
        Self { started: Instant::now(), started_at, bounds: Mutex::new(None) }
    }

    /// The present time.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.started_at.load(Ordering::Relaxed)).after(self.started.elapsed())
    }

    /// Whether the database's time has been measured.
    pub fn is_set(&self) -> bool {
        self.bounds.lock().expect("no holder panics").is_some()
    }

    /// How far the clock may be behind the database's; `None` as long as that has not been measured.
    pub fn uncertainty(&self) -> Option<Duration> {
        let Bounds { earliest, latest } = (*self.bounds.lock().expect("no holder panics"))?;
        Some(Duration::from_millis(latest.abs_diff(earliest)))
    }

    /// Takes a measurement: the database was asked and has answered with its time. If it agrees with those before, the clock
    /// becomes more exact, and otherwise the database's clock was set, and this measurement alone counts. Returns by
    /// how many milliseconds the clock was set.
    pub fn measure(&self, asked: Instant, answered: Instant, database: UnixMillis) -> i64 {
        let at_start = |moment: Instant| {
            let elapsed = moment.saturating_duration_since(self.started).as_millis();
            database.0.saturating_sub(i64::try_from(elapsed).unwrap_or(i64::MAX))
        };
        // The time that the database has returned is rounded down, as that which has elapsed here is.
        let measured = Bounds { earliest: at_start(answered) - 1, latest: at_start(asked) + 1 };
        let mut bounds = self.bounds.lock().expect("no holder panics");
        let narrowed = bounds.and_then(|bounds| bounds.and(measured)).unwrap_or(measured);
        *bounds = Some(narrowed);
        narrowed.earliest - self.started_at.swap(narrowed.earliest, Ordering::Relaxed)
    }
}

impl Bounds {
    /// What both agree with; `None` if there is no such time.
    fn and(self, other: Self) -> Option<Self> {
        let (earliest, latest) = (self.earliest.max(other.earliest), self.latest.min(other.latest));
        (earliest <= latest).then_some(Self { earliest, latest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: i64 = 20 * 60_000;

    /// A measurement on a clock, of a database whose clock differs from this machine's: the request takes `there`, and the
    /// answer `back`.
    fn measure(clock: &Clock, difference: i64, there: u64, back: u64) {
        let asked = Instant::now();
        let there = Duration::from_millis(there);
        let database = UnixMillis(machine().0 + difference).after(there);
        clock.measure(asked, asked + there + Duration::from_millis(back), database);
    }

    fn machine() -> UnixMillis {
        UnixMillis(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64)
    }

    /// By how many milliseconds a clock is ahead of the database's.
    fn ahead(clock: &Clock, difference: i64) -> i64 {
        clock.now().0 - machine().0 - difference
    }

    #[test]
    fn slow_answers_set_the_clock_too_and_never_ahead_of_the_database() {
        for (there, back) in [(150, 150), (3_000, 0), (0, 3_000)] {
            let clock = Clock::new();
            assert!(!clock.is_set() && clock.uncertainty().is_none());
            measure(&clock, -MINUTES, there, back);
            let ahead = ahead(&clock, -MINUTES);
            let uncertainty = clock.uncertainty().unwrap();
            assert!(ahead <= 1, "{ahead} ms ahead");
            assert!(
                -ahead <= uncertainty.as_millis() as i64 + 100,
                "{ahead} ms ahead, and {uncertainty:?} are admitted"
            );
            assert!(uncertainty <= Duration::from_millis(there + back + 2), "{uncertainty:?}");
        }
    }

    #[test]
    fn a_faster_answer_makes_the_clock_more_exact_and_a_slower_one_does_not_harm() {
        let clock = Clock::new();
        measure(&clock, MINUTES, 500, 500);
        measure(&clock, MINUTES, 2, 2);
        let uncertainty = clock.uncertainty().unwrap();
        assert!(uncertainty <= Duration::from_millis(100), "{uncertainty:?}");
        measure(&clock, MINUTES, 0, 4_000);
        assert!(clock.uncertainty().unwrap() <= uncertainty);
        assert!(ahead(&clock, MINUTES).abs() <= 100, "{} ms ahead", ahead(&clock, MINUTES));
    }

    #[test]
    fn the_clock_follows_when_the_database_s_clock_is_set() {
        let clock = Clock::new();
        measure(&clock, 0, 2, 2);
        measure(&clock, -MINUTES, 150, 150);
        assert!(ahead(&clock, -MINUTES) <= 1 && ahead(&clock, -MINUTES) >= -500);
        measure(&clock, MINUTES, 150, 150);
        assert!(ahead(&clock, MINUTES) <= 1 && ahead(&clock, MINUTES) >= -500);
    }
}
