use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::text::as_text;

/// The SHA-256 of a secret with 256 random bits. It is written in 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

/// Why a text is not a [`SecretHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 64 hexadecimal digits")]
pub struct SecretHashError;

impl SecretHash {
    /// The hash with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its first 16 digits, which identify the secret and confer nothing.
    pub fn short(self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl FromStr for SecretHash {
    type Err = SecretHashError;

    fn from_str(text: &str) -> Result<Self, SecretHashError> {
        if text.len() != 64 || text.bytes().any(|byte| !byte.is_ascii() || byte.is_ascii_uppercase()) {
            return Err(SecretHashError);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(SecretHashError);
            *byte = (digit(digits[0])? * 16 + digit(digits[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({}…)", self.short())
    }
}

as_text!(SecretHash, "a SHA-256 in hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let text = format!("{}ff", "0a".repeat(31));
        assert_eq!(text.parse::<SecretHash>().unwrap().to_string(), text);
        for wrong in ["", "0a", &"g".repeat(64), &"ä".repeat(32), &"0".repeat(65)] {
            assert_eq!(wrong.parse::<SecretHash>(), Err(SecretHashError), "{wrong}");
        }
    }
}
