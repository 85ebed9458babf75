//! Which nodes may check in: join tokens, the credentials of nodes, and the decision about a check-in.
//!
//! A secret is known here by its hash alone. The server hashes what a request brings, and looks at certificates.

mod administration;
mod cidr;
mod decide;
mod denial;
mod denial_code;
mod own_member;
mod secret_hash;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::{MemberName, Revision, Transition, UnixMillis};

pub use administration::{JoinTokenRequest, JoinTokenRequestError};
pub use cidr::{Cidr, CidrError};
pub use denial::NodeDenial;
pub use denial_code::DenialCode;
pub use own_member::NotOwnMember;
pub use secret_hash::{SecretHash, SecretHashError};

/// What admits nodes to a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Admission {
    /// The join tokens, oldest first. Those that ended long ago are dropped; see [`JoinToken::KEPT`].
    pub join_tokens: Vec<JoinToken>,
    /// The credential of each node that has one, or had one that was revoked.
    pub credentials: BTreeMap<MemberName, NodeCredential>,
    /// The check-ins that were refused last, oldest first. See [`TurnedAway::MOST`].
    pub turned_away: Vec<TurnedAway>,
    /// The revision that last changed a join token or a credential. `None` if none did.
    pub modified: Option<Revision>,
    /// The revision that last dropped a join token or a credential, if that was in this run of the server.
    pub dropped: Option<Revision>,
}

/// A secret that lets nodes in, once for each node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JoinToken {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The only node that may use it. `None` if any may.
    pub node: Option<MemberName>,
    /// The only addresses from which it may be used. `None` if from all.
    pub cidr: Option<Cidr>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// From when on it lets nobody in.
    pub expires_at: UnixMillis,
    /// How many nodes it may let in.
    pub uses: u32,
    /// The nodes that it has let in.
    pub used_by: BTreeSet<MemberName>,
    /// When it was revoked. `None` if it was not.
    pub revoked_at: Option<UnixMillis>,
    /// The revision that last changed it.
    pub modified: Revision,
}

/// The credential that alone speaks for a node. It does not expire: a node that was off for long must be able to start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeCredential {
    /// Its public ID, which stays when the credential is renewed.
    pub id: String,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The hash of the secret that takes its place at its first use. `None` if the node has announced none.
    pub next: Option<SecretHash>,
    /// When it was bound to the node.
    pub created_at: UnixMillis,
    /// When its secret was last replaced. `None` if it never was.
    pub renewed_at: Option<UnixMillis>,
    /// When it was revoked. `None` if it was not.
    pub revoked_at: Option<UnixMillis>,
    /// The revision that last changed it.
    pub modified: Revision,
}

/// A check-in that was refused, for the audit. A repeated one leaves no further event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TurnedAway {
    /// The node that the check-in was for.
    pub node: MemberName,
    /// [`NodeDenial::code`].
    pub code: String,
    /// Where it came from. `None` if that is not known.
    pub from: Option<IpAddr>,
    /// When it was first refused.
    pub at: UnixMillis,
}

/// What a check-in brings to show that it may speak for its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// The hash of the node's credential.
    pub credential: Option<SecretHash>,
    /// The hash of the secret with which the node will replace its credential.
    pub next: Option<SecretHash>,
    /// The hash of a join token.
    pub join_token: Option<SecretHash>,
    /// The common name and the DNS names of a verified client certificate.
    pub certificate_names: Vec<String>,
    /// The client's address.
    pub from: Option<IpAddr>,
}

/// The decision about a check-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admittance {
    /// It may speak for its node, and nothing changes.
    Known,
    /// It may speak for its node once this change is committed.
    Bound(Transition),
    /// It may not.
    Denied {
        /// Why.
        denial: NodeDenial,
        /// The event to leave. `None` if the same refusal has left one.
        record: Option<Transition>,
    },
}

impl Admission {
    /// The most credentials of one cluster. A client that knows the discovery token of an open cluster can check in with any name.
    pub const MAX_CREDENTIALS: usize = 1_000;

    /// The most join tokens of one cluster.
    pub const MAX_JOIN_TOKENS: usize = 200;

    /// The present credential of a node. `None` if it has none, or if it was revoked.
    pub fn holder(&self, node: &MemberName) -> Option<&NodeCredential> {
        self.credentials.get(node).filter(|credential| credential.revoked_at.is_none())
    }

    /// The node whose credential has this hash, and the credential.
    pub fn credential(&self, hash: SecretHash) -> Option<(&MemberName, &NodeCredential)> {
        self.credentials.iter().find(|(_, credential)| credential.has(hash))
    }
}

impl JoinToken {
    /// For how long a join token is kept after it has let its last node in, has expired or was revoked.
    pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// Its public ID. It is of the hash, so it confers nothing.
    pub fn id(&self) -> String {
        format!("join-{}", self.hash.short())
    }

    /// Whether it still lets a node in.
    pub fn is_valid(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && self.used_by.len() < self.uses as usize
    }

    fn is_past_retention(&self, now: UnixMillis) -> bool {
        let ended = self.revoked_at.unwrap_or(self.expires_at);
        !self.is_valid(now) && ended.after(Self::KEPT) <= now
    }
}

impl NodeCredential {
    fn new(hash: SecretHash, at: UnixMillis, modified: Revision) -> Self {
        let id = format!("node-{}", hash.short());
        Self { id, hash, next: None, created_at: at, renewed_at: None, revoked_at: None, modified }
    }

    fn has(&self, hash: SecretHash) -> bool {
        self.hash == hash || self.next == Some(hash)
    }
}

impl TurnedAway {
    /// The most refused check-ins on record, and so the most events that they leave within `REPEATED_AFTER`.
    pub const MOST: usize = 16;

    /// A refusal that is repeated after this time leaves an event again.
    const REPEATED_AFTER: Duration = Duration::from_secs(3_600);
}
