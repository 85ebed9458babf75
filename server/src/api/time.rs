use std::time::{Duration, SystemTime};

use convene_lifecycle::UnixMillis;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A time in RFC 3339, UTC, with milliseconds: `2026-08-01T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-08-01T12:00:00.000Z")]
pub struct Timestamp(pub UnixMillis);

/// The latest time that RFC 3339 can represent, in milliseconds since the epoch.
const LAST: u64 = 253_402_300_799_999;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(self.0.0).unwrap_or_default().min(LAST);
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        serializer.collect_str(&humantime::format_rfc3339_millis(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timestamp_can_be_serialized() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_785_585_600_123, "2026-08-01T12:00:00.123Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(serde_json::to_value(Timestamp(UnixMillis(millis))).unwrap(), text);
        }
    }
}
