use std::time::{Duration, SystemTime};

use convene_lifecycle::UnixMillis;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A time as in the API: RFC 3339 with milliseconds. A time outside its range, for example from a wrong clock, is a number of
/// milliseconds since 1970, so that the export loses nothing.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum Rfc3339Millis {
    Text(String),
    Millis(i64),
}

/// Why a text is not a [`Rfc3339Millis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a time in UTC with milliseconds, such as 2026-08-01T12:00:00.000Z")]
pub struct Rfc3339MillisError;

/// The last time in the range of RFC 3339, in milliseconds since 1970.
const LAST: u64 = 253_402_300_799_999;

impl Rfc3339Millis {
    pub fn read(&self) -> Result<UnixMillis, Rfc3339MillisError> {
        let text = match self {
            Self::Millis(millis) => return Ok(UnixMillis(*millis)),
            Self::Text(text) => text,
        };
        let moment = humantime::parse_rfc3339(text).map_err(|_| Rfc3339MillisError)?;
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| Rfc3339MillisError)?;
        let millis = UnixMillis(i64::try_from(since.as_millis()).map_err(|_| Rfc3339MillisError)?);
        // A text that would be written differently has more digits than milliseconds or another notation.
        match Self::from(millis) {
            Self::Text(same) if same == *text => Ok(millis),
            _ => Err(Rfc3339MillisError),
        }
    }
}

impl From<UnixMillis> for Rfc3339Millis {
    fn from(at: UnixMillis) -> Self {
        match u64::try_from(at.0) {
            Ok(millis @ ..=LAST) => {
                let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
                Self::Text(humantime::format_rfc3339_millis(moment).to_string())
            }
            _ => Self::Millis(at.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_read_as_it_was_written() {
        for (millis, json) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1_785_585_600_123, "\"2026-08-01T12:00:00.123Z\""),
            (LAST as i64, "\"9999-12-31T23:59:59.999Z\""),
            (LAST as i64 + 1, "253402300800000"),
            (-1, "-1"),
            (i64::MIN, "-9223372036854775808"),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(serde_json::to_string(&Rfc3339Millis::from(UnixMillis(millis))).unwrap(), json);
            assert_eq!(serde_json::from_str::<Rfc3339Millis>(json).unwrap().read(), Ok(UnixMillis(millis)));
        }
    }

    #[test]
    fn a_time_that_would_lose_digits_is_refused() {
        for text in ["", "yesterday", "2026-08-01", "2026-08-01T12:00:00.1234Z", "2026-08-01T12:00:00+02:00"] {
            assert_eq!(Rfc3339Millis::Text(text.to_owned()).read(), Err(Rfc3339MillisError), "{text}");
        }
    }
}
