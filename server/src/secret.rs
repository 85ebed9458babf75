use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use convene_lifecycle::SecretHash;
use sha2::{Digest, Sha256};

/// A secret with 256 random bits, which is shown once, when it is drawn.
///
/// `Debug` does not show it.
pub struct Secret(String);

impl Secret {
    /// What every API token begins with.
    pub const API_TOKEN: &str = "cvn_";

    /// What every join token begins with.
    pub const JOIN_TOKEN: &str = "cvnj_";

    /// What every credential of a node begins with.
    pub const NODE_CREDENTIAL: &str = "cvnn_";

    /// Draws a secret of a kind: a prefix, so that people and scanners recognise it, and 43 characters of base64url.
    pub fn draw(prefix: &str) -> Self {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        Self(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    /// A secret of a kind that was drawn before. `None` if the text is no such secret.
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        let random = BASE64_URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?;
        (random.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its hash.
    pub fn hash(&self) -> SecretHash {
        hash_of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a secret. Only hashes are stored and compared, so the time of a comparison shows nothing of a secret.
pub fn hash_of(secret: &str) -> SecretHash {
    SecretHash::new(Sha256::digest(secret.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::SecretHashError;

    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_is_not_shown_by_debug() {
        let secret = Secret::draw(Secret::API_TOKEN);
        assert_eq!(secret.reveal().len(), "cvn_".len() + 43);
        assert!(secret.reveal().starts_with("cvn_") && secret.reveal() != Secret::draw(Secret::API_TOKEN).reveal());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_secret_is_read_as_it_was_drawn() {
        let secret = Secret::draw(Secret::API_TOKEN);
        assert_eq!(Secret::parse(secret.reveal(), Secret::API_TOKEN).unwrap().hash(), secret.hash());
        for text in ["", "cvn_", "cvn_abc", &secret.reveal()[1..], &format!("{}A", secret.reveal())] {
            assert!(Secret::parse(text, Secret::API_TOKEN).is_none());
        }
        assert!(Secret::parse(secret.reveal(), Secret::JOIN_TOKEN).is_none());
    }

    #[test]
    fn a_hash_is_read_as_it_is_stored() {
        let hash = hash_of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.to_string().as_str(), text.parse()), (text, Ok(hash)));
        for wrong in ["", "ba78", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(wrong.parse::<SecretHash>(), Err(SecretHashError));
        }
    }
}
