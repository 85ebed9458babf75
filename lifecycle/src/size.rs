use std::fmt;

use thiserror::Error;

/// The number of voters that a cluster should have: 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterSize(u32);

/// Why a text or number is not a [`ClusterSize`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("size: must be a whole number from 1 to {max}, not {given:?}")]
pub struct ClusterSizeError {
    given: String,
    max: ClusterSize,
}

impl ClusterSize {
    /// The size of a cluster that is created without one, as with discovery.etcd.io.
    pub const DEFAULT: Self = Self(3);

    /// A size. `None` for zero.
    pub const fn new(size: u32) -> Option<Self> {
        if size == 0 { None } else { Some(Self(size)) }
    }

    /// Parses a size.
    ///
    /// # Errors
    ///
    /// If it is not a whole number from 1 to `max`.
    pub fn parse(text: &str, max: Self) -> Result<Self, ClusterSizeError> {
        let size = text.parse().ok().and_then(Self::new).filter(|size| *size <= max);
        size.ok_or_else(|| ClusterSizeError { given: text.chars().take(32).collect(), max })
    }

    /// The number of voters.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: ClusterSize = ClusterSize(31);

    #[test]
    fn sizes_from_one_to_the_maximum_are_accepted() {
        assert_eq!(ClusterSize::parse("1", MAX), Ok(ClusterSize(1)));
        assert_eq!(ClusterSize::parse("31", MAX), Ok(MAX));
    }

    #[test]
    fn other_sizes_are_refused_with_the_range() {
        for text in ["", "0", "-1", "32", "three", "3.0", " 3", "99999999999999999999"] {
            let error = ClusterSize::parse(text, MAX).unwrap_err().to_string();
            assert_eq!(error, format!("size: must be a whole number from 1 to 31, not {text:?}"));
        }
    }
}
