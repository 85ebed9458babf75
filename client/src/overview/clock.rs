use std::time::{Duration, SystemTime};

use humantime::{format_duration, parse_rfc3339};

/// The time of this machine, against which the registry's times are compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub SystemTime);

impl Clock {
    /// The present time.
    pub fn now() -> Self {
        Self(SystemTime::now())
    }

    /// How long ago a time of the API was. A time in the future, by a clock that differs, is now.
    pub fn since(self, time: &str) -> Option<Duration> {
        let time = parse_rfc3339(time).ok()?;
        Some(self.0.duration_since(time).unwrap_or_default())
    }
}

/// An age for people, in whole seconds and at most two units: `3d 4h`, `12s`.
pub fn age_of(age: Duration) -> String {
    let text = format_duration(Duration::from_secs(age.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        let clock = Clock(parse_rfc3339("2026-08-01T12:00:00Z").unwrap());
        let shown = |time: &str| clock.since(time).map(age_of);
        assert_eq!(shown("2026-07-29T07:59:30.500Z").as_deref(), Some("3days 4h"));
        assert_eq!(shown("2026-08-01T11:59:48.000Z").as_deref(), Some("12s"));
        assert_eq!(shown("2026-08-01T12:00:01.000Z").as_deref(), Some("0s"));
        assert_eq!(shown("yesterday"), None);
    }
}
