use std::{borrow::Cow, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    schema::{ObjectBuilder, Type},
};

use super::{Limits, Scalar};

/// A whole number from 0 to 2^63 - 1: a revision, or an index of the Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Count {
    /// The largest count that the database can store.
    pub const MAX: u64 = i64::MAX as u64;
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, 0, Self::MAX).map(Self)
    }
}

impl Scalar for Count {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number from 0 to {}", Self::MAX).into()
    }

    fn schema() -> RefOr<Schema> {
        integer(KnownFormat::Int64).minimum(Some(0)).into()
    }
}

/// A whole number of seconds from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds<const MIN: u64, const MAX: u64>(pub Duration);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, MIN, MAX).map(Duration::from_secs).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Seconds<MIN, MAX> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let seconds =
            text.strip_suffix('s').unwrap_or(text).parse().ok().filter(|seconds| (MIN..=MAX).contains(seconds));
        seconds.map(Duration::from_secs).map(Self).ok_or(())
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Seconds<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.as_secs())
    }
}

impl<const MIN: u64, const MAX: u64> Scalar for Seconds<MIN, MAX> {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number of seconds from {MIN} to {MAX}").into()
    }

    fn schema() -> RefOr<Schema> {
        integer(KnownFormat::Int32).minimum(Some(MIN)).maximum(Some(MAX)).into()
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = whole_number(deserializer, MIN.into(), MAX.into())?;
        u32::try_from(number).map(Self).map_err(D::Error::custom)
    }
}

impl<const MIN: u32, const MAX: u32> Scalar for Number<MIN, MAX> {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number from {MIN} to {MAX}").into()
    }

    fn schema() -> RefOr<Schema> {
        integer(KnownFormat::Int32).minimum(Some(MIN)).maximum(Some(MAX)).into()
    }
}

/// Reads a whole number, however it is written: to JSON, 3 and 3.0 are the same.
pub fn whole_number<'de, D: Deserializer<'de>>(deserializer: D, min: u64, max: u64) -> Result<u64, D::Error> {
    /// From here on an `f64` does not represent every whole number.
    const FIRST_GAP: f64 = 9e15;
    let number = serde_json::Number::deserialize(deserializer)?;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..FIRST_GAP).contains(float));
    let whole = number.as_u64().or_else(|| float().map(|float| float as u64));
    let fitting = whole.filter(|whole| (min..=max).contains(whole));
    fitting.ok_or_else(|| D::Error::custom(format!("must be a whole number from {min} to {max}")))
}

/// The schema of a whole number.
pub fn integer(format: KnownFormat) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(format)))
}
