use std::{fmt, str::FromStr};

use convene_lifecycle::UnixMillis;
use thiserror::Error;

use super::{Role, Scope};

/// An API token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its public name.
    pub id: ApiTokenId,
    /// What people call it.
    pub name: TokenName,
    /// What its holder may do.
    pub role: Role,
    /// With which clusters.
    pub scope: Scope,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Who created it: the public name of a credential, or `command line`.
    pub created_by: String,
    /// When it stops being valid. `None` if never.
    pub expires_at: Option<UnixMillis>,
    /// When it was last used, to the minute. `None` if it never was.
    pub last_used_at: Option<UnixMillis>,
    /// When it was revoked. `None` if it is valid.
    pub revoked_at: Option<UnixMillis>,
}

impl ApiToken {
    /// A new token, which does not expire.
    pub fn new(name: TokenName, role: Role, scope: Scope, created_at: UnixMillis, created_by: String) -> Self {
        Self {
            id: ApiTokenId::draw(),
            name,
            role,
            scope,
            created_at,
            created_by,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }
    }
}

/// The public name of an API token: `tok-` and 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiTokenId(String);

/// A text is no [`ApiTokenId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be the ID of an API token: tok- and 16 hexadecimal digits in lower case")]
pub struct ApiTokenIdError;

impl ApiTokenId {
    /// Draws an ID.
    pub fn draw() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        Self(format!("tok-{:016x}", u64::from_be_bytes(random)))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ApiTokenId {
    type Err = ApiTokenIdError;

    fn from_str(text: &str) -> Result<Self, ApiTokenIdError> {
        let digits = text.strip_prefix("tok-").filter(|digits| digits.len() == 16).ok_or(ApiTokenIdError)?;
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { Ok(Self(text.to_owned())) } else { Err(ApiTokenIdError) }
    }
}

/// What people call an API token: 1 to 64 visible characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(String);

/// A text is no [`TokenName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-'")]
pub struct TokenNameError;

impl TokenName {
    /// The most characters.
    pub const MAX_LEN: usize = 64;

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(text: &str) -> Result<Self, TokenNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-');
        let fits = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed);
        if fits { Ok(Self(text.to_owned())) } else { Err(TokenNameError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_tok_and_16_digits() {
        let id = ApiTokenId::draw();
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in ["", "tok-", "tok-1", "tok-000000000000000G", "cl-0000000000000001"] {
            assert_eq!(text.parse::<ApiTokenId>(), Err(ApiTokenIdError));
        }
    }
}
