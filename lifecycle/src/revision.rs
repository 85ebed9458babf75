use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Counts the changes of one cluster, from 1. v2 discovery calls it index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the change that creates a cluster.
    pub const FIRST: Self = Self(1);

    /// The revision of the change after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in milliseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The time since then. Zero if it lies in the future, as after a clock was set back.
    pub fn age(self, now: Self) -> Duration {
        Duration::from_millis(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or_default())
    }

    /// The moment that is this much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment for messages, to the second in UTC: `22:28:37Z` if it is on the same day as `now`, else
    /// `2026-05-03T22:28:37Z`.
    pub fn clock_time(self, now: Self) -> String {
        let (text, today) = (self.rfc3339(), now.rfc3339());
        match text.split_once('T') {
            Some((date, time)) if today.starts_with(date) => time.to_owned(),
            _ => text,
        }
    }

    fn rfc3339(self) -> String {
        /// The last second that RFC 3339 can write, that of the year 9999.
        const LAST: Duration = Duration::from_secs(253_402_300_799);
        let since_epoch = Duration::from_millis(u64::try_from(self.0).unwrap_or_default()).min(LAST);
        humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let at = UnixMillis(1_777_847_317_500);
        assert_eq!(at.clock_time(at.after(Duration::from_secs(3_600))), "22:28:37Z");
        assert_eq!(at.clock_time(at.after(Duration::from_secs(2 * 3_600))), "2026-05-03T22:28:37Z");
        assert_eq!(UnixMillis(-1).clock_time(at), "1970-01-01T00:00:00Z");
        assert_eq!(UnixMillis(i64::MAX).clock_time(at), "9999-12-31T23:59:59Z");
    }
}
