use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::{Registration, Revision, token::is_key_segment};

/// One registration under a cluster, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is registered under.
    pub key: MemberKey,
    /// Its name and peer URLs.
    pub registration: Registration,
    /// Its place in line: etcd takes the first `size` members in this order.
    pub created: Revision,
    /// When it last changed.
    pub modified: Revision,
    /// When it was removed; `None` means that it is a member now. A removed member stays on record,
    /// because those who saw it while the cluster formed have counted it.
    pub removed: Option<Revision>,
}

/// The last segment of a member's v2 key.
///
/// etcd puts its member ID there, as up to 16 hexadecimal digits; other clients choose freely. The
/// alphabet is a token's, and a leading `_` would make the key a hidden one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(Arc<str>);

/// Why a text is not a [`MemberKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "member: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and not begin with '_'; \
     etcd uses its member ID in hexadecimal"
)]
pub struct MemberKeyError;

impl MemberKey {
    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberKey {
    type Err = MemberKeyError;

    fn from_str(text: &str) -> Result<Self, MemberKeyError> {
        if is_key_segment(text) && !text.starts_with('_') { Ok(Self(text.into())) } else { Err(MemberKeyError) }
    }
}

impl fmt::Display for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What etcd calls `--name`: any text without `,`, `=` and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(Arc<str>);

/// Why a text is not a [`MemberName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("member name {0:?} must not be empty or hold ',', '=' or control characters")]
pub struct MemberNameError(String);

impl MemberName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberName {
    type Err = MemberNameError;

    fn from_str(text: &str) -> Result<Self, MemberNameError> {
        if text.is_empty() || text.contains(|c: char| matches!(c, ',' | '=') || c.is_control()) {
            Err(MemberNameError(text.to_owned()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
