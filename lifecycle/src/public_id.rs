use std::{fmt, str::FromStr};

use thiserror::Error;

/// The public name of a cluster: `cl-` and 16 hexadecimal digits. It stays the same for as long as the cluster exists.
///
/// Logs, events and lists show it in place of the [`Token`](crate::Token), which is a secret. Who knows it has no rights by
/// that. A token can't have this form: see [`NewClusterToken`](crate::NewClusterToken).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId(pub i64);

/// A text is not a [`PublicId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a cluster's ID: cl- and 16 hexadecimal digits in lower case")]
pub struct PublicIdError;

impl PublicId {
    /// The ID of a cluster that is not stored yet. The registry draws the ID when it creates the cluster.
    pub const UNASSIGNED: Self = Self(0);

    /// What every ID begins with.
    pub const PREFIX: &str = "cl-";
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}", Self::PREFIX, self.0)
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({self})")
    }
}

impl FromStr for PublicId {
    type Err = PublicIdError;

    fn from_str(text: &str) -> Result<Self, PublicIdError> {
        let digits = text.strip_prefix(Self::PREFIX).filter(|digits| digits.len() == 16).ok_or(PublicIdError)?;
        if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(PublicIdError);
        }
        let number = u64::from_str_radix(digits, 16).map_err(|_| PublicIdError)?;
        Ok(Self(number as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        for id in [PublicId(1), PublicId(i64::MAX), PublicId(-1)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(PublicId(0x19a_2b3c_4d5e).to_string(), "cl-0000019a2b3c4d5e");
        for text in
            ["", "cl-", "cl-1", "0000019a2b3c4d5e", "cl-0000019A2B3C4D5E", "cl-0000019a2b3c4d5e0", "cl-+00019a2b3c4d5e"]
        {
            assert_eq!(text.parse::<PublicId>(), Err(PublicIdError), "{text}");
        }
    }
}
