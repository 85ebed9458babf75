use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::text::as_text;

/// The name that administrators give a cluster, for people. It need not be unique.
///
/// Names that were given before may have [invisible](crate::is_invisible) characters; the API accepts no further ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

/// Why a text is not a [`ClusterName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 128 characters without control characters")]
pub struct ClusterNameError;

impl ClusterName {
    /// The most characters of a name.
    pub const MAX_CHARS: usize = 128;

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(ClusterNameError) }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(ClusterName, "a cluster's name");
