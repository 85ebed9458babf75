use std::sync::Arc;

use axum::{extract::RawPathParams, http::request::Parts};
use convene_lifecycle::{PublicId, Token};

use super::{Principal, Scope};
use crate::{app::App, registry::Unavailable};

/// The cluster that a path names, by its public ID or its discovery token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The cluster's token. `None` if no cluster has the ID, or if the principal has no rights to any cluster with this ID.
    pub token: Option<Token>,
    /// The cluster's ID. `None` if no cluster has the token, or if nobody needs to know: the principal's scope is all clusters.
    pub id: Option<PublicId>,
    /// Whether the path has the token, which is a secret, and not the ID, which is none.
    pub is_named_by_token: bool,
}

impl Target {
    /// The name of the path parameter.
    pub const PARAMETER: &str = "cluster";

    /// The cluster in a path. `None` if the path has none, or if it is neither an ID nor a token, which the handler refuses.
    pub async fn of(app: &Arc<App>, parts: &mut Parts, principal: &Principal) -> Result<Option<Self>, Unavailable> {
        let Ok(params) = <RawPathParams as axum::extract::FromRequestParts<()>>::from_request_parts(parts, &()).await
        else {
            return Ok(None);
        };
        let named = params.iter().find(|(name, _)| *name == Self::PARAMETER).map(|(_, value)| value.to_owned());
        let Some(named) = named else { return Ok(None) };
        if let Ok(id) = named.parse::<PublicId>() {
            // An ID gives no rights. Who has none must not make the server ask its database.
            let may_have_rights = match principal {
                Principal::Node { cluster, .. } => *cluster == id,
                principal => principal.role().is_some_and(|(_, scope)| scope.includes(id)),
            };
            let token = if may_have_rights { app.registry.token_of(id).await? } else { None };
            return Ok(Some(Self { token, id: Some(id), is_named_by_token: false }));
        }
        let Ok(token) = named.parse::<Token>() else { return Ok(None) };
        let is_scoped = match principal {
            Principal::Node { .. } => true,
            principal => principal.role().is_some_and(|(_, scope)| *scope != Scope::All),
        };
        let id = match is_scoped {
            true => app.registry.latest_known(&token).await?.map(|known| known.snapshot.cluster.id),
            false => None,
        };
        Ok(Some(Self { token: Some(token), id, is_named_by_token: true }))
    }
}
