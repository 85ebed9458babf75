use std::{fmt, str::FromStr};

use crate::secret_file;

/// The API token of an administrator, from a file. It is a secret, and `Debug` does not show it.
#[derive(Clone)]
pub struct AdminToken(String);

/// What every API token begins with.
const PREFIX: &str = "cvn_";

impl AdminToken {
    /// The token, for the server.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let token = text.trim();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if token.strip_prefix(PREFIX).is_none_or(str::is_empty) || !token.bytes().all(is_token) {
            return Err("the file must have one API token, cvn_…, and nothing else".to_owned());
        }
        Ok(Self(token.to_owned()))
    }
}

impl FromStr for AdminToken {
    type Err = String;

    /// Reads the file. An error does not repeat its contents.
    fn from_str(path: &str) -> Result<Self, String> {
        Self::parse(&secret_file::read(path)?)
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_token_and_no_error_repeats_it() {
        assert_eq!(AdminToken::parse("cvn_aB-_9\n").unwrap().reveal(), "cvn_aB-_9");
        for text in ["", "cvn_", "secret", "cvn_a cvn_b", "cvn_a\r\nX: y", "cvnn_"] {
            assert!(!AdminToken::parse(text).unwrap_err().contains("secret"), "{text}");
        }
    }
}
