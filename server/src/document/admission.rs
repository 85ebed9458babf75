use std::{collections::BTreeMap, net::IpAddr};

use convene_lifecycle::{Admission, Cidr, JoinToken, MemberName, NodeCredential, Revision, SecretHash, TurnedAway};
use serde::{Deserialize, Serialize};

use super::{or_null, problems::Place, rfc3339_millis::Rfc3339Millis, rules::revision};

/// The join tokens and credentials of a cluster. Secrets are written as SHA-256, so an export lets nobody in.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionDocument {
    /// The revision that last changed one of them. Null: none did.
    modified_revision: Option<u64>,
    join_tokens: Vec<JoinTokenDocument>,
    credentials: Vec<CredentialDocument>,
    turned_away: Vec<TurnedAwayDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinTokenDocument {
    hash: String,
    /// Null: any node may use it.
    #[serde(deserialize_with = "or_null")]
    node: Option<String>,
    /// Null: from any address.
    #[serde(deserialize_with = "or_null")]
    cidr: Option<String>,
    created_at: Rfc3339Millis,
    expires_at: Rfc3339Millis,
    uses: u32,
    used_by: Vec<String>,
    /// Null: it was not revoked.
    #[serde(deserialize_with = "or_null")]
    revoked_at: Option<Rfc3339Millis>,
    modified_revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialDocument {
    node: String,
    id: String,
    hash: String,
    /// Null: the node has announced no other one.
    #[serde(deserialize_with = "or_null")]
    next_hash: Option<String>,
    created_at: Rfc3339Millis,
    /// Null: it was never renewed.
    #[serde(deserialize_with = "or_null")]
    renewed_at: Option<Rfc3339Millis>,
    /// Null: it was not revoked.
    #[serde(deserialize_with = "or_null")]
    revoked_at: Option<Rfc3339Millis>,
    modified_revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnedAwayDocument {
    node: String,
    code: String,
    /// Null: not known.
    #[serde(deserialize_with = "or_null")]
    from: Option<IpAddr>,
    at: Rfc3339Millis,
}

impl From<&Admission> for AdmissionDocument {
    fn from(Admission { join_tokens, credentials, turned_away, modified, .. }: &Admission) -> Self {
        Self {
            modified_revision: modified.map(|at| at.0),
            join_tokens: join_tokens.iter().map(Into::into).collect(),
            credentials: credentials.iter().map(Into::into).collect(),
            turned_away: turned_away.iter().map(Into::into).collect(),
        }
    }
}

impl From<&JoinToken> for JoinTokenDocument {
    fn from(token: &JoinToken) -> Self {
        Self {
            hash: token.hash.to_string(),
            node: token.node.as_ref().map(ToString::to_string),
            cidr: token.cidr.map(|cidr| cidr.to_string()),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
            uses: token.uses,
            used_by: token.used_by.iter().map(ToString::to_string).collect(),
            revoked_at: token.revoked_at.map(Into::into),
            modified_revision: token.modified.0,
        }
    }
}

impl From<(&MemberName, &NodeCredential)> for CredentialDocument {
    fn from((node, credential): (&MemberName, &NodeCredential)) -> Self {
        Self {
            node: node.to_string(),
            id: credential.id.clone(),
            hash: credential.hash.to_string(),
            next_hash: credential.next.map(|hash| hash.to_string()),
            created_at: credential.created_at.into(),
            renewed_at: credential.renewed_at.map(Into::into),
            revoked_at: credential.revoked_at.map(Into::into),
            modified_revision: credential.modified.0,
        }
    }
}

impl From<&TurnedAway> for TurnedAwayDocument {
    fn from(TurnedAway { node, code, from, at }: &TurnedAway) -> Self {
        Self { node: node.to_string(), code: code.clone(), from: *from, at: (*at).into() }
    }
}

impl AdmissionDocument {
    pub fn is_empty(&self) -> bool {
        self.modified_revision.is_none() && self.turned_away.is_empty()
    }

    pub fn read(&self, mut place: Place<'_>) -> Option<Admission> {
        let modified = place.optional("modified_revision", self.modified_revision.map(revision));
        if self.modified_revision.is_none() && !(self.join_tokens.is_empty() && self.credentials.is_empty()) {
            place.inside("modified_revision").wrong("is null, but there are join tokens or credentials");
        }
        let mut join_tokens = Some(Vec::with_capacity(self.join_tokens.len()));
        for (n, token) in self.join_tokens.iter().enumerate() {
            match (token.read(place.inside(format_args!("join_tokens[{n}]"))), &mut join_tokens) {
                (Some(token), Some(join_tokens)) => join_tokens.push(token),
                _ => join_tokens = None,
            }
        }
        let mut credentials = Some(BTreeMap::new());
        for (n, credential) in self.credentials.iter().enumerate() {
            let mut place = place.inside(format_args!("credentials[{n}]"));
            match (credential.read(&mut place), &mut credentials) {
                (Some((node, credential)), Some(credentials)) => {
                    if credentials.insert(node, credential).is_some() {
                        place.inside("node").wrong("has another credential as well");
                    }
                }
                _ => credentials = None,
            }
        }
        let mut turned_away = Some(Vec::with_capacity(self.turned_away.len()));
        for (n, refused) in self.turned_away.iter().enumerate() {
            match (refused.read(place.inside(format_args!("turned_away[{n}]"))), &mut turned_away) {
                (Some(refused), Some(turned_away)) => turned_away.push(refused),
                _ => turned_away = None,
            }
        }
        Some(Admission {
            join_tokens: join_tokens?,
            credentials: credentials?,
            turned_away: turned_away?,
            modified: modified?,
            dropped: None,
        })
    }
}

impl JoinTokenDocument {
    fn read(&self, mut place: Place<'_>) -> Option<JoinToken> {
        let hash = place.field("hash", self.hash.parse::<SecretHash>());
        let node = place.optional("node", self.node.as_ref().map(|node| node.parse::<MemberName>()));
        let cidr = place.optional("cidr", self.cidr.as_ref().map(|cidr| cidr.parse::<Cidr>()));
        let created_at = place.field("created_at", self.created_at.read());
        let expires_at = place.field("expires_at", self.expires_at.read());
        let used_by = place.list("used_by", &self.used_by, |node| node.parse::<MemberName>());
        let revoked_at = place.optional("revoked_at", self.revoked_at.as_ref().map(Rfc3339Millis::read));
        let modified: Option<Revision> = place.field("modified_revision", revision(self.modified_revision));
        Some(JoinToken {
            hash: hash?,
            node: node?,
            cidr: cidr?,
            created_at: created_at?,
            expires_at: expires_at?,
            uses: self.uses,
            used_by: used_by?.into_iter().collect(),
            revoked_at: revoked_at?,
            modified: modified?,
        })
    }
}

impl CredentialDocument {
    fn read(&self, place: &mut Place<'_>) -> Option<(MemberName, NodeCredential)> {
        let node = place.field("node", self.node.parse::<MemberName>());
        let hash = place.field("hash", self.hash.parse::<SecretHash>());
        let next = place.optional("next_hash", self.next_hash.as_ref().map(|hash| hash.parse::<SecretHash>()));
        let created_at = place.field("created_at", self.created_at.read());
        let renewed_at = place.optional("renewed_at", self.renewed_at.as_ref().map(Rfc3339Millis::read));
        let revoked_at = place.optional("revoked_at", self.revoked_at.as_ref().map(Rfc3339Millis::read));
        let modified = place.field("modified_revision", revision(self.modified_revision));
        let credential = NodeCredential {
            id: self.id.clone(),
            hash: hash?,
            next: next?,
            created_at: created_at?,
            renewed_at: renewed_at?,
            revoked_at: revoked_at?,
            modified: modified?,
        };
        Some((node?, credential))
    }
}

impl TurnedAwayDocument {
    fn read(&self, mut place: Place<'_>) -> Option<TurnedAway> {
        let node = place.field("node", self.node.parse::<MemberName>());
        let at = place.field("at", self.at.read());
        Some(TurnedAway { node: node?, code: self.code.clone(), from: self.from, at: at? })
    }
}
