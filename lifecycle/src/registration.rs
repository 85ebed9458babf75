use std::fmt;

use thiserror::Error;

use crate::{MemberName, MemberNameError, PeerUrl, PeerUrlError, is_invisible};

/// The most bytes of a registration's text.
pub const MAX_REGISTRATION_BYTES: usize = 4096;

/// The most peer URLs of a member.
pub const MAX_PEER_URLS: usize = 16;

/// A member's name and all its peer URLs.
///
/// Its text is `name=URL[,name=URL…]`, a part of etcd's `--initial-cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// The member's name.
    pub name: MemberName,
    /// Its peer URLs. There is at least one.
    pub peer_urls: Vec<PeerUrl>,
}

/// Why a text is not a [`Registration`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// The text is too long.
    #[error("value: a registration may have {MAX_REGISTRATION_BYTES} bytes at most, and this one has {0}")]
    TooLong(usize),
    /// Too many URLs.
    #[error("value: a member may have {MAX_PEER_URLS} peer URLs at most, and this one has {0}")]
    TooManyPeerUrls(usize),
    /// A part has no `=`.
    #[error("value: {0:?} is not NAME=PEER-URL, such as infra0=http://10.0.0.1:2380")]
    NotAPair(String),
    /// Two names in one registration.
    #[error("value: a member has one name, but this one has {0:?} and {1:?}")]
    TwoNames(String, String),
    /// A character that people don't see, or that changes the order in which they see others.
    #[error(
        "value: {0:?} has an invisible character or one that changes the direction of text; use visible characters only"
    )]
    Invisible(String),
    /// The name is invalid.
    #[error("value: {0}")]
    Name(#[from] MemberNameError),
    /// A URL that no other member reaches.
    #[error(
        "value: peer URL {0} is not an address that other nodes can reach; set --initial-advertise-peer-urls to an \
         address of this node"
    )]
    Unspecified(PeerUrl),
    /// A URL is invalid.
    #[error("value: {0}")]
    PeerUrl(#[from] PeerUrlError),
}

impl Registration {
    /// Parses `name=URL[,name=URL…]`.
    ///
    /// # Errors
    ///
    /// If the text is no registration, is longer than [`MAX_REGISTRATION_BYTES`], has an [invisible](is_invisible) character, or has a
    /// peer URL at `0.0.0.0` or `[::]`.
    pub fn parse(text: &str) -> Result<Self, RegistrationError> {
        if text.len() > MAX_REGISTRATION_BYTES {
            return Err(RegistrationError::TooLong(text.len()));
        }
        let registration = Self::parse_of_any_length(text)?;
        if text.contains(is_invisible) {
            return Err(RegistrationError::Invisible(text.to_owned()));
        }
        match registration.peer_urls.iter().find(|url| url.is_unspecified()) {
            Some(url) => Err(RegistrationError::Unspecified(url.clone())),
            None => Ok(registration),
        }
    }

    /// Parses a registration that was accepted before. It may be longer than [`MAX_REGISTRATION_BYTES`], have a URL that no other
    /// member reaches, and have invisible characters.
    ///
    /// # Errors
    ///
    /// If the text is no registration.
    pub fn parse_of_any_length(text: &str) -> Result<Self, RegistrationError> {
        let pairs = text.split(',').map(split_pair).collect::<Result<Vec<_>, _>>()?;
        if pairs.len() > MAX_PEER_URLS {
            return Err(RegistrationError::TooManyPeerUrls(pairs.len()));
        }
        let name = pairs[0].0;
        if let Some((other, _)) = pairs.iter().find(|(other, _)| *other != name) {
            return Err(RegistrationError::TwoNames(name.to_owned(), (*other).to_owned()));
        }
        let peer_urls = pairs.iter().map(|(_, url)| PeerUrl::parse(url)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.parse()?, peer_urls })
    }
}

fn split_pair(piece: &str) -> Result<(&str, &str), RegistrationError> {
    piece.split_once('=').ok_or_else(|| RegistrationError::NotAPair(piece.to_owned()))
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, url) in self.peer_urls.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}={url}", self.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registration_keeps_its_text() {
        for text in ["infra0=http://10.0.0.1:2380", "a b=https://x:1,a b=https://y:2", "ü=http://[::1]:2380"] {
            assert_eq!(Registration::parse(text).map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_problem() {
        for (text, message) in [
            ("", r#"value: "" is not NAME=PEER-URL, such as infra0=http://10.0.0.1:2380"#),
            ("hello", r#"value: "hello" is not NAME=PEER-URL, such as infra0=http://10.0.0.1:2380"#),
            ("=http://x:1", r#"value: member name "" must not be empty or contain ',', '=' or control characters"#),
            ("a=http://x:1,b=http://y:1", r#"value: a member has one name, but this one has "a" and "b""#),
            ("a=http://x:1,", r#"value: "" is not NAME=PEER-URL, such as infra0=http://10.0.0.1:2380"#),
            ("a=x:1", r#"value: peer URL "x:1" must begin with http:// or https://"#),
            (
                "a=http://0.0.0.0:2380",
                "value: peer URL http://0.0.0.0:2380 is not an address that other nodes can reach; set \
                 --initial-advertise-peer-urls to an address of this node",
            ),
            (
                "a\u{202e}b=http://x:1",
                "value: \"a\\u{202e}b=http://x:1\" has an invisible character or one that changes the direction of text; use visible \
                 characters only",
            ),
            ("a=http://x", r#"value: peer URL "http://x" needs a port from 1 to 65535, such as :2380"#),
        ] {
            assert_eq!(Registration::parse(text).unwrap_err().to_string(), message);
        }
        for invisible in
            "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}\u{feff}\u{200b}\u{200c}\u{200d}"
                .chars()
        {
            let text = format!("a{invisible}=http://x:1");
            assert_eq!(Registration::parse(&text), Err(RegistrationError::Invisible(text.clone())));
            // It may be on record.
            assert_eq!(Registration::parse_of_any_length(&text).map(|r| r.to_string()), Ok(text));
        }
        let many = vec!["a=http://x:1"; 17].join(",");
        assert_eq!(Registration::parse(&many), Err(RegistrationError::TooManyPeerUrls(17)));
        let long = format!("a=http://{}:1", "x".repeat(4096));
        assert_eq!(Registration::parse(&long), Err(RegistrationError::TooLong(4107)));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_accepted_texts_stay_unchanged(text in ".{0,200}|[a=:/,h1-9\\[\\]]{0,60}|(a=http://[a-z0-9.:\\[\\]]{1,9}:[0-9]{1,5},?){1,3}") {
            if let Ok(registration) = Registration::parse(&text) {
                prop_assert_eq!(registration.to_string(), text);
            }
        }
    }
}
