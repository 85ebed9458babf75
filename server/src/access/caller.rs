use axum::{
    extract::FromRequestParts,
    http::{Extensions, StatusCode, request::Parts},
};
use convene_lifecycle::Actor;

use super::Principal;

/// Who sends a request, after [`enforce`](super::enforce()) has let it pass.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// The same for events and the audit log.
    pub actor: Actor,
}

impl Caller {
    /// The caller of a request. `None` if [`enforce`](super::enforce()) has not seen it, which is a mistake in the router.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Self::of(&parts.extensions).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
