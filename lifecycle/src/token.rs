use std::{fmt, ops::Deref, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::PublicId;

/// The secret name of one cluster. Whoever knows it can read and change the cluster.
///
/// It has 1 to 128 characters of `A-Z a-z 0-9 . _ -`, and is neither `.` nor `..`, which HTTP clients resolve as path
/// segments. A token for a new cluster has one more rule: see [`NewClusterToken`].
///
/// `Display` and `Debug` show the first six characters at most, and never more than half of them, so that logs and errors can't leak a
/// token.
/// [`Token::as_str`] returns the whole token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Arc<str>);

/// A token for a cluster that does not exist yet: it is none of the [words](NewClusterToken::RESERVED) that the server's
/// own URLs begin with, and it does not look like a [`PublicId`].
///
/// Every way to create a cluster needs one: `/v1`, v2 and v3 discovery, and an import. Clusters that were created before
/// a word was reserved keep their token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClusterToken(Token);

/// Why a [`Token`] is not a [`NewClusterToken`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReservedToken {
    /// It is a word of the server's own URLs.
    #[error("token: {0:?} is reserved for the server's own URLs; choose another token")]
    Word(String),
    /// It looks like a cluster's public ID.
    #[error("token: cl- and 16 hexadecimal digits are a cluster's public ID; choose another token")]
    PublicId,
}

/// Why a text is not a [`NewClusterToken`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NewClusterTokenError {
    /// It is no token at all.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is reserved.
    #[error(transparent)]
    Reserved(#[from] ReservedToken),
}

/// Why a text is not a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("token: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'")]
pub struct TokenError;

impl Token {
    /// The most characters of a token.
    pub const MAX_LEN: usize = 128;

    /// How many characters of a token logs may show at most.
    pub const SHOWN: usize = 6;

    /// The whole token. It is for storage, comparisons, and responses to clients that know it; not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How much of a token with so many characters logs may show: [`Token::SHOWN`] characters, or half of a short one.
    pub fn shown(length: usize) -> usize {
        (length / 2).min(Self::SHOWN)
    }
}

impl NewClusterToken {
    /// The first path segments of the server's own URLs, present and likely ones. The discovery URL of such a token
    /// would lead elsewhere.
    pub const RESERVED: [&str; 15] = [
        "debug",
        "docs",
        "health",
        "livez",
        "metrics",
        "new",
        "openapi.yaml",
        "readyz",
        "robots.txt",
        "static",
        "ui",
        "v1",
        "v2",
        "v3",
        "version",
    ];
}

impl TryFrom<Token> for NewClusterToken {
    type Error = ReservedToken;

    fn try_from(token: Token) -> Result<Self, ReservedToken> {
        if Self::RESERVED.contains(&token.as_str()) {
            return Err(ReservedToken::Word(token.0.to_string()));
        }
        if token.as_str().parse::<PublicId>().is_ok() {
            return Err(ReservedToken::PublicId);
        }
        Ok(Self(token))
    }
}

impl FromStr for NewClusterToken {
    type Err = NewClusterTokenError;

    fn from_str(text: &str) -> Result<Self, NewClusterTokenError> {
        Ok(text.parse::<Token>()?.try_into()?)
    }
}

impl From<NewClusterToken> for Token {
    fn from(NewClusterToken(token): NewClusterToken) -> Self {
        token
    }
}

impl Deref for NewClusterToken {
    type Target = Token;

    fn deref(&self) -> &Token {
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
        // A token is ASCII.
        write!(f, "{}…", &self.0[..Self::shown(self.0.len())])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Whether a text can be one segment of a key, and so of a URL's path without escapes.
pub(crate) fn is_key_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=Token::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_any_sane_shape_are_accepted() {
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
    fn six_characters_are_shown_at_most_and_half_of_a_short_token() {
        let token: Token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        assert_eq!(token.to_string(), "6c007a…");
        assert_eq!(format!("{token:?}"), "Token(6c007a…)");
        for (token, shown) in
            [("x", "…"), ("ab", "a…"), ("prod", "pr…"), ("secret", "sec…"), ("secret-token", "secret…")]
        {
            assert_eq!(token.parse::<Token>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_word_of_the_servers_urls_names_an_old_cluster_but_no_new_one() {
        assert!("docs".parse::<Token>().is_ok());
        let refused = "docs".parse::<NewClusterToken>().unwrap_err();
        assert_eq!(refused.to_string(), "token: \"docs\" is reserved for the server's own URLs; choose another token");
        let id = "cl-00019a2b3c4d5e6f".parse::<NewClusterToken>();
        assert_eq!(id, Err(NewClusterTokenError::Reserved(ReservedToken::PublicId)));
        assert_eq!(".".parse::<NewClusterToken>(), Err(NewClusterTokenError::Token(TokenError)));
        for text in ["Docs", "docs2", "doc", "6c007a14875d53d9bf0ef5a6fc0257c8"] {
            assert_eq!(text.parse::<NewClusterToken>().unwrap().as_str(), text);
        }
    }
}
