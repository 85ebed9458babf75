use std::{ops::Add, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// A moment on a clock that also runs while the machine is suspended (`CLOCK_BOOTTIME`).
///
/// The clock of [`std::time::Instant`] stands still meanwhile. Evidence that was gathered before a suspension would look
/// as if it were recent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The present moment.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        // The clock starts at 0 when the machine boots, so neither number is negative.
        Self(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// The moment at which the machine had run for this long, suspensions included.
    pub fn of_uptime(uptime: Duration) -> Self {
        Self(uptime)
    }

    /// The moment that was this long ago.
    #[cfg(test)]
    pub fn ago(time: Duration) -> Self {
        Self(Self::now().0.saturating_sub(time))
    }

    /// The time since this moment; 0 if it lies in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// The time from an earlier moment to this one; 0 if the other is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    /// The moment after this time. A time that is too long for a number means the end of time.
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread::sleep};

    use super::*;

    #[test]
    fn it_is_the_uptime_with_suspensions() {
        let BootInstant(before) = BootInstant::now();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
        let BootInstant(after) = BootInstant::now();
        // The file has two decimals.
        assert!(before.as_secs_f64() - 0.01 <= uptime && uptime <= after.as_secs_f64() + 0.01, "{before:?} {uptime}");
    }

    #[test]
    fn time_passes_and_never_runs_backwards() {
        let before = BootInstant::now();
        sleep(Duration::from_millis(5));
        assert!(before.elapsed() >= Duration::from_millis(5));
        assert_eq!((before + Duration::MAX).elapsed(), Duration::ZERO);
        assert_eq!(before.saturating_duration_since(BootInstant::now()), Duration::ZERO);
    }
}
