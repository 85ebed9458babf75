//! Who may do what.
//!
//! [`enforce()`] runs before every handler. It finds out who asks ([`Principal`]), looks up what the route needs
//! ([`Requirement`]), and refuses the request ([`Denial`]) or hands a [`Caller`] to the handler, and a [`Standing`] if the handler
//! lets the client wait. A route without a declared requirement is for administrators only, and a test fails.

mod api_token;
mod caller;
mod certificate_rule;
mod credential;
mod denial;
mod enforce;
mod mode;
mod principal;
mod requirement;
mod role;
mod standing;
mod target;
mod token_book;

use std::sync::Arc;

pub use api_token::{ApiToken, ApiTokenId, TokenName};
pub use caller::Caller;
pub use certificate_rule::CertificateRule;
pub use denial::Denial;
pub use enforce::{enforce, enforce_grpc};
pub use mode::{AuthMode, NotOnLoopback};
pub use principal::Principal;
pub use requirement::{Requirement, requirement};
pub use role::{Role, Scope};
pub use standing::Standing;
pub use target::Target;
pub use token_book::{REFRESH_EVERY, TokenBook};

use crate::store::{Store, StoreError};

/// What decides about access, shared by all requests.
pub struct Access {
    /// Whether credentials are demanded at all.
    pub mode: AuthMode,
    /// Whether everybody on other machines may do everything.
    pub is_exposed: bool,
    /// The API tokens.
    pub tokens: TokenBook,
    /// Which client certificates have a role.
    pub certificate_rules: Vec<CertificateRule>,
}

impl Access {
    /// Reads the API tokens.
    pub async fn start(
        mode: AuthMode,
        is_exposed: bool,
        store: Arc<Store>,
        certificate_rules: Vec<CertificateRule>,
    ) -> Result<Self, StoreError> {
        Ok(Self { mode, is_exposed, tokens: TokenBook::read(store).await?, certificate_rules })
    }
}
