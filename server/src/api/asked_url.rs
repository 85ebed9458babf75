use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use convene_lifecycle::Cluster;

use super::query::parameters;
use crate::{
    access::{AuthMode, Caller, Role, Target},
    app::App,
};

/// The base of discovery URLs, as the client of the request reaches the server, and whether the response may have tokens. No cache
/// keeps the answers.
pub struct AskedUrl {
    /// The base; no slash at the end.
    pub url: String,
    shown: Shown,
}

/// Whose tokens a response shows.
enum Shown {
    /// None: an ID is enough.
    None,
    /// All: the client has sent the token itself, or the server demands no credentials, or the client has created the cluster.
    All,
    /// Those of the clusters that the caller may change.
    OfOperator(Caller),
}

parameters! {
    /// Whether the response has discovery tokens, which are secrets.
    pub struct ShowToken {
        /// Whether to show the discovery tokens and URLs of the clusters that the caller may change. Without it, only a request that
        /// names the cluster by its token gets them.
        show_token: bool = false,
    }
}

impl ShowToken {
    /// Whether the client asks for tokens.
    pub fn is_asked(&self) -> bool {
        self.show_token
    }
}

impl AskedUrl {
    /// For the response to the client that has created the cluster.
    pub fn of_creator(self) -> Self {
        Self { shown: Shown::All, ..self }
    }

    /// For a client that may ask for tokens.
    pub fn with_tokens_if(self, asks: bool, caller: Caller) -> Self {
        match self.shown {
            Shown::None if asks => Self { shown: Shown::OfOperator(caller), ..self },
            _ => self,
        }
    }

    /// Whether the response has the token of a cluster.
    pub fn shows_token_of(&self, cluster: &Cluster) -> bool {
        match &self.shown {
            Shown::None => false,
            Shown::All => true,
            Shown::OfOperator(caller) => caller.principal.has_for(Role::Operator, cluster.id),
        }
    }
}

impl FromRequestParts<Arc<App>> for AskedUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let is_named_by_token = parts.extensions.get::<Target>().is_some_and(|target| target.is_named_by_token);
        let shows_all = is_named_by_token || app.access.mode == AuthMode::Off;
        let shown = if shows_all { Shown::All } else { Shown::None };
        Ok(Self { url: app.url_as_asked(&parts.uri, &parts.headers), shown })
    }
}
