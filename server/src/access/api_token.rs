use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use convene_lifecycle::UnixMillis;
use sha2::{Digest, Sha256};
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

/// The secret of an API token: `cvn_` and 256 random bits in base64url. It is shown once, when it is created.
///
/// `Debug` does not show it.
pub struct ApiTokenSecret(String);

impl ApiTokenSecret {
    /// What every secret begins with, so that people and scanners recognise one.
    pub const PREFIX: &str = "cvn_";

    /// Draws a secret.
    pub fn draw() -> Self {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        Self(format!("{}{}", Self::PREFIX, BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    /// The secret itself, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiTokenSecret(…)")
    }
}

/// The SHA-256 of a secret with 256 random bits. Only hashes are stored and compared, so the time of a comparison shows
/// nothing of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// A text is no [`SecretHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 64 hexadecimal digits in lower case")]
pub struct SecretHashError;

impl FromStr for SecretHash {
    type Err = SecretHashError;

    fn from_str(text: &str) -> Result<Self, SecretHashError> {
        let is_hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex {
            return Err(SecretHashError);
        }
        let mut hash = [0; 32];
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| SecretHashError)?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_is_not_shown_by_debug() {
        let secret = ApiTokenSecret::draw();
        assert_eq!(secret.reveal().len(), "cvn_".len() + 43);
        assert!(secret.reveal().starts_with("cvn_") && secret.reveal() != ApiTokenSecret::draw().reveal());
        assert_eq!(format!("{secret:?}"), "ApiTokenSecret(…)");
    }

    #[test]
    fn a_hash_is_read_as_it_is_stored() {
        let hash = SecretHash::of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.to_string().as_str(), text.parse()), (text, Ok(hash)));
        for wrong in ["", "ba78", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(wrong.parse::<SecretHash>(), Err(SecretHashError));
        }
    }

    #[test]
    fn an_id_is_tok_and_16_digits() {
        let id = ApiTokenId::draw();
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in ["", "tok-", "tok-1", "tok-000000000000000G", "cl-0000000000000001"] {
            assert_eq!(text.parse::<ApiTokenId>(), Err(ApiTokenIdError));
        }
    }
}
