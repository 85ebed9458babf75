use std::{future::pending, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, StatusCode, request::Parts},
};
use convene_lifecycle::{Actor, MemberName, SecretHash, Token, UnixMillis};

use super::{Denial, Principal, REFRESH_EVERY, Requirement, Target};
use crate::{app::App, audit};

/// Whether the caller of a long poll, a watch or a stream may still receive what it has asked for: its credential may end while it
/// waits. Whoever delivers something asks right before that, and ends the wait when [`Standing::ended`] does.
///
/// Requests without a credential have none that could end, and cost nothing here.
#[derive(Clone)]
pub struct Standing(Option<Arc<Terms>>);

/// What a caller may do, and by which credential.
struct Terms {
    credential: Lasting,
    needs: Requirement,
    target: Option<Target>,
    actor: Actor,
    /// The request, for the audit log.
    request: String,
}

/// A credential that has an end.
pub(super) enum Lasting {
    /// An API token.
    ApiToken(SecretHash),
    /// A client certificate with a role. The TLS library looks at its validity only during the handshake.
    Certificate {
        /// The name that has the role.
        name: Arc<str>,
        /// The end of its validity.
        not_after: UnixMillis,
    },
    /// The credential of a node.
    Node {
        /// The cluster.
        cluster: Token,
        /// The node.
        name: MemberName,
        /// The hash of the credential.
        hash: SecretHash,
    },
}

impl Standing {
    /// The standing of a caller without a credential.
    pub(super) const PERMANENT: Self = Self(None);

    /// The standing of a caller whose request was admitted.
    pub(super) fn new(
        credential: Lasting,
        needs: Requirement,
        target: Option<&Target>,
        actor: Actor,
        request: String,
    ) -> Self {
        Self(Some(Arc::new(Terms { credential, needs, target: target.cloned(), actor, request })))
    }

    /// The standing of the caller of a request. `None` if [`enforce`](super::enforce()) has not seen it, which is a mistake in the
    /// router.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// Checks that the caller may receive something now. A refusal is logged, and ends the wait.
    pub async fn check(&self, app: &App) -> Result<(), Denial> {
        let Some(terms) = &self.0 else { return Ok(()) };
        let checked = terms.check(app).await;
        if let Err(denial) = &checked
            && !matches!(denial, Denial::Unavailable(_))
        {
            audit::log_refusal(&terms.actor, &terms.request, &format!("ended while the client waited: {denial}"));
        }
        checked
    }

    /// Waits until the caller may not go on; for ever if it has no credential that could end.
    pub async fn ended(&self, app: &App) -> Denial {
        if self.0.is_none() {
            return pending().await;
        }
        loop {
            tokio::time::sleep(REFRESH_EVERY).await;
            match self.check(app).await {
                // If the database is down, nothing is delivered.
                Ok(()) | Err(Denial::Unavailable(_)) => {}
                Err(denial) => return denial,
            }
        }
    }
}

impl Terms {
    async fn check(&self, app: &App) -> Result<(), Denial> {
        match &self.credential {
            Lasting::ApiToken(hash) => {
                let token = app.access.tokens.valid(*hash, app.registry.now())?;
                self.needs.check(&Principal::ApiToken(token), self.target.as_ref())
            }
            Lasting::Certificate { name, not_after } if *not_after <= app.registry.now() => {
                Err(Denial::ExpiredCertificate { name: name.clone() })
            }
            Lasting::Certificate { .. } => Ok(()),
            Lasting::Node { cluster, name, hash } => {
                // The end of the cluster is something to deliver.
                let Some(known) = app.registry.latest_known(cluster).await? else { return Ok(()) };
                match known.snapshot.cluster.admission.credential(*hash) {
                    Some((of, credential)) if of == name && credential.revoked_at.is_none() => Ok(()),
                    _ => Err(Denial::UnknownCredential),
                }
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Standing {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Self::of(&parts.extensions).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
