use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use thiserror::Error;

use super::{Admission, Cidr, JoinToken, SecretHash};
use crate::{Cluster, EventKind, MemberName, Revision, Transition, UnixMillis, cluster_draft::ClusterDraft};

/// An administrator's request for a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenRequest {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The only node that may use it. `None` if any may.
    pub node: Option<MemberName>,
    /// The only addresses from which it may be used. `None` if from all.
    pub cidr: Option<Cidr>,
    /// For how long it lets nodes in.
    pub ttl: Duration,
    /// How many nodes it may let in.
    pub uses: u32,
}

/// Why an administrator's request about join tokens or credentials is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinTokenRequestError {
    /// The cluster has as many as it may.
    #[error(
        "the cluster has {} join tokens that are valid or have ended in the last 30 days, the maximum. Use a valid \
         one, or wait: a join token is deleted 30 days after its end",
        Admission::MAX_JOIN_TOKENS
    )]
    TooMany,
    /// The cluster has no such join token.
    #[error("the cluster has no join token {0}; GET /v1/clusters/CLUSTER/join-tokens lists them")]
    NoSuchJoinToken(String),
    /// The node has no credential.
    #[error("node {0} has no credential in this cluster; GET /v1/clusters/CLUSTER/nodes shows which nodes have one")]
    NoCredential(MemberName),
}

impl Cluster {
    /// Creates a join token.
    pub fn create_join_token(
        &self,
        request: &JoinTokenRequest,
        now: UnixMillis,
    ) -> Result<Transition, JoinTokenRequestError> {
        let JoinTokenRequest { hash, node, cidr, ttl, uses } = request.clone();
        let kept = |token: &&JoinToken| !token.is_past_retention(now);
        let kept: Vec<JoinToken> = self.admission.join_tokens.iter().filter(kept).cloned().collect();
        if kept.len() >= Admission::MAX_JOIN_TOKENS {
            return Err(JoinTokenRequestError::TooMany);
        }
        let has_dropped = kept.len() < self.admission.join_tokens.len();
        let mut draft = ClusterDraft::new(self, now);
        let token = JoinToken {
            hash,
            node,
            cidr,
            created_at: now,
            expires_at: now.after(ttl),
            uses,
            used_by: BTreeSet::new(),
            revoked_at: None,
            modified: self.revision.next(),
        };
        let only = token.node.as_ref().map(|node| format!(" for {node}")).unwrap_or_default();
        let nodes = if uses == 1 { "1 node".to_owned() } else { format!("{uses} nodes") };
        let from = token.cidr.map(|cidr| format!(" from {cidr}")).unwrap_or_default();
        let until = token.expires_at.clock_time(now);
        let message = format!("join token {}{only} created: it lets in {nodes}{from} until {until}", token.id());
        draft.change_admission(EventKind::JoinTokenCreated, message, |admission, revision, _| {
            admission.join_tokens = kept;
            admission.join_tokens.push(token);
            if has_dropped {
                admission.dropped = Some(revision);
            }
        });
        Ok(draft.finish().expect("the join token is new"))
    }

    /// Revokes a join token by its ID. `Ok(None)` if it was revoked before.
    pub fn revoke_join_token(&self, id: &str, now: UnixMillis) -> Result<Option<Transition>, JoinTokenRequestError> {
        let found = self.admission.join_tokens.iter().find(|token| token.id() == id);
        let found = found.ok_or_else(|| JoinTokenRequestError::NoSuchJoinToken(id.to_owned()))?;
        if found.revoked_at.is_some() {
            return Ok(None);
        }
        let mut draft = ClusterDraft::new(self, now);
        let message = format!("join token {id} revoked");
        draft.change_admission(EventKind::JoinTokenRevoked, message, |admission, revision, now| {
            if let Some(token) = admission.join_tokens.iter_mut().find(|token| token.id() == id) {
                token.revoked_at = Some(now);
                token.modified = revision;
            }
        });
        Ok(draft.finish())
    }

    /// Revokes the credential of a node. `Ok(None)` if it was revoked before.
    pub fn revoke_credential(
        &self,
        node: &MemberName,
        now: UnixMillis,
    ) -> Result<Option<Transition>, JoinTokenRequestError> {
        let found = self.admission.credentials.get(node);
        let found = found.ok_or_else(|| JoinTokenRequestError::NoCredential(node.clone()))?;
        if found.revoked_at.is_some() {
            return Ok(None);
        }
        let mut draft = ClusterDraft::new(self, now);
        let message = format!("credential {} of {node} revoked", found.id);
        draft.change_admission(EventKind::CredentialRevoked, message, |admission, revision, now| {
            if let Some(credential) = admission.credentials.get_mut(node) {
                credential.revoked_at = Some(now);
                credential.modified = revision;
            }
        });
        Ok(draft.finish())
    }
}

impl ClusterDraft<'_> {
    /// Changes a join token or a credential.
    pub(super) fn change_admission(
        &mut self,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
        edit: impl FnOnce(&mut Admission, Revision, UnixMillis),
    ) {
        let now = self.now();
        self.change(kind, message, |cluster| {
            let revision = cluster.revision;
            let admission = Arc::make_mut(&mut cluster.admission);
            admission.modified = Some(revision);
            edit(admission, revision, now);
        });
    }
}
