use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Names one cluster and is the capability to register under it.
///
/// 1 to 128 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`, which HTTP clients take for path segments.
///
/// A token is a secret: `Display` and `Debug` show its first six characters only, so that logs and
/// errors can't leak it. [`Token::as_str`] gives the whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Arc<str>);

/// Why a text is not a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("token: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'")]
pub struct TokenError;

impl Token {
    /// The token's most characters.
    pub const MAX_LEN: usize = 128;

    /// How many of the token's characters may be shown.
    pub const SHOWN: usize = 6;

    /// The whole token, for storing and comparing and for answers to those who know it. Not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if is_key_segment(text) { Ok(Self(text.into())) } else { Err(TokenError) }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..Self::SHOWN) {
            Some(shown) if self.0.len() > Self::SHOWN => write!(f, "{shown}…"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Whether a text can stand as one segment of a key: of a URL's path, that is, with nothing to escape.
pub(crate) fn is_key_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=Token::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_any_sane_shape_are_taken() {
        for text in ["6c007a14875d53d9bf0ef5a6fc0257c8", "prod", "a", "A.b_c-9", "...", &"x".repeat(128)] {
            assert_eq!(text.parse::<Token>().map(|t| t.as_str().to_owned()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", "..", "a b", "a/b", "ä", "a%20", "a\n", &"x".repeat(129)] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text:?}");
        }
    }

    #[test]
    fn only_six_characters_are_ever_shown() {
        let token: Token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        assert_eq!(token.to_string(), "6c007a…");
        assert_eq!(format!("{token:?}"), "Token(6c007a…)");
        assert_eq!("prod".parse::<Token>().unwrap().to_string(), "prod");
    }
}
