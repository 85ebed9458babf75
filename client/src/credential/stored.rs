use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use convene_lifecycle::{MemberName, Token};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The content of a credential's file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Whose credential it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// The credential.
    pub credential: String,
    /// When it was made, in seconds since 1970.
    pub made_at: u64,
    /// Whether the registry has admitted the node with it.
    pub accepted: bool,
    /// The credential that comes next. `None` if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The one before, until the registry has admitted the node with the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// A node in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The first half of the SHA-256 of the cluster's token. A credential is never sent for another cluster, whose server could use
    /// it.
    pub cluster: String,
    /// The node's name.
    pub node: MemberName,
}

impl Owner {
    /// A node in a cluster.
    pub fn new(token: &Token, node: &MemberName) -> Self {
        Self { cluster: hash_of(token.as_str())[..32].to_owned(), node: node.clone() }
    }
}

impl Stored {
    /// What every credential of a node begins with.
    const PREFIX: &str = "cvnn_";

    /// Makes a credential.
    pub fn draw(owner: &Owner) -> Self {
        Self {
            owner: owner.clone(),
            credential: secret(),
            made_at: seconds(SystemTime::now()),
            accepted: false,
            next: None,
            previous: None,
        }
    }

    /// Whether it is to be renewed.
    pub fn is_due(&self, now: SystemTime, after: Duration) -> bool {
        let age = seconds(now).saturating_sub(self.made_at);
        self.accepted && self.next.is_none() && self.previous.is_none() && age > after.as_secs()
    }

    /// Makes the credential that comes next.
    pub fn announce(&mut self) {
        self.next = Some(secret());
    }

    /// Records that the registry has admitted the node with what was shown. Returns whether that changes anything.
    pub fn admitted(&mut self, now: SystemTime) -> bool {
        let before = self.clone();
        self.accepted = true;
        self.previous = None;
        if let Some(next) = self.next.take() {
            self.previous = Some(std::mem::replace(&mut self.credential, next));
            self.made_at = seconds(now);
        }
        *self != before
    }

    /// What is wrong with it, if it was read from a file.
    pub fn problem(&self) -> Option<&'static str> {
        let all = [Some(&self.credential), self.next.as_ref(), self.previous.as_ref()];
        let is_one = |secret: &&String| {
            secret.strip_prefix(Self::PREFIX).is_some_and(|rest| {
                rest.len() == 43 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            })
        };
        (!all.iter().flatten().all(is_one)).then_some("a secret in it is not cvnn_ and 43 characters")
    }
}

/// The SHA-256 of a secret, in hexadecimal digits.
pub fn hash_of(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    format!("{}{}", Stored::PREFIX, BASE64_URL_SAFE_NO_PAD.encode(random))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("owner", &self.owner).field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
