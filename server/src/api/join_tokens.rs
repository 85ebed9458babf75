//! The endpoints on join tokens and on the credentials of nodes.

mod create;
mod credential;
mod join_token;
mod list;
mod revoke;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use super::problem::{Kind, Problem};
use crate::app::App;
use convene_lifecycle::JoinTokenRequestError;

pub use credential::CredentialBody;

/// The routes for join tokens and credentials.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create::create_join_token, list::list_join_tokens))
        .routes(routes!(revoke::revoke_join_token))
        .routes(routes!(credential::revoke_credential))
}

impl From<JoinTokenRequestError> for Problem {
    fn from(error: JoinTokenRequestError) -> Self {
        let kind = match error {
            JoinTokenRequestError::TooMany => Kind::Conflict,
            JoinTokenRequestError::NoSuchJoinToken(_) | JoinTokenRequestError::NoCredential(_) => Kind::NotFound,
        };
        Self::new(kind, error)
    }
}
