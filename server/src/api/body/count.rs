use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error};

use super::{Field, Limits};

/// A number that counts up from 0 and is stored in 63 bits: a revision, an index of the Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Count {
    /// The largest.
    pub const MAX: u64 = i64::MAX as u64;
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        // To JSON, 3 and 3.0 are the same.
        let float = || number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9e15).contains(float));
        let whole = number.as_u64().or_else(|| float().map(|float| float as u64)).filter(|whole| *whole <= Self::MAX);
        whole.map(Self).ok_or_else(|| D::Error::custom("is out of range"))
    }
}

impl Field for Count {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number from 0 to {}", Self::MAX).into()
    }
}
