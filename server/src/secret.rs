use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use convene_lifecycle::SecretHash;
use sha2::{Digest, Sha256};

/// A secret with 256 random bits, which is shown once, when it is drawn.
///
/// `Debug` does not show it.
pub struct Secret(String);

impl Secret {
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
