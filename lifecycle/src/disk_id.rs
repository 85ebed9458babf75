use std::{fmt, str::FromStr, sync::Arc};

use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::{text::as_text, token::is_key_segment};

/// Identifies the place of a node's WAL: a filesystem, and the path on it. A mount that is missing, and a new disk, make another
/// place. So if a node reports no data twice from one place, nothing that was written in between has been lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(Arc<str>);

/// Why a text is not a [`DiskId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and differ for each filesystem and path on it"
)]
pub struct DiskIdError;

impl DiskId {
    /// The ID of a place that is described by these parts.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha1::new();
        for part in parts {
            // Each part's length keeps apart what two parts share between them.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(digits.into())
    }

    /// The ID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DiskId {
    type Err = DiskIdError;

    fn from_str(text: &str) -> Result<Self, DiskIdError> {
        if is_key_segment(text) { Ok(Self(text.into())) } else { Err(DiskIdError) }
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(DiskId, "a disk ID");
