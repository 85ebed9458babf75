//! The endpoints on API tokens, for administrators.

mod body;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::json_response,
    body::{JsonBody, List, Seconds, body},
    path::ApiTokenPath,
    problem::{
        Kind, Problem,
        documented::{BodyProblems, ClusterProblems, CommonProblems, ConflictProblems},
    },
    query::Query,
};
use crate::{
    access::{ApiToken, Caller, Role, Scope, TokenName},
    app::App,
    audit,
    secret::Secret,
};
use body::{ApiTokenBody, ClusterInScope};

/// The routes for API tokens.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create_api_token, list_api_tokens)).routes(routes!(revoke_api_token))
}

/// The most clusters in the scope of a token.
const MAX_CLUSTERS: usize = 1_000;

/// The longest time until a token expires: ten years.
const MAX_EXPIRY: u64 = 10 * 365 * 24 * 3600;

body! {
    /// A new API token.
    #[body(name = "NewApiToken", unknown_fields = Refused)]
    pub struct NewApiToken {
        /// What people call it.
        #[example = "dashboard"]
        name: TokenName,
        /// What its holder may do.
        role: Role,
        /// The IDs of the clusters that the role is for. Without any, it is for all clusters; that of an admin always is.
        clusters: List<ClusterInScope, 0, MAX_CLUSTERS>,
        /// After how many seconds it expires; null if it does not.
        #[example = 7776000]
        expires_in_seconds: Option<Seconds<1, MAX_EXPIRY>>,
    }
}

/// A new API token with its secret, which only this response shows.
#[derive(Serialize, ToSchema)]
struct CreatedApiToken {
    #[serde(flatten)]
    token: ApiTokenBody,
    /// What its holder sends as `Authorization: Bearer SECRET`.
    #[schema(example = "cvn_1sbsTQFzV0cLzHcN8fCpsaKj4o0vVJ0vbXnRMGGcbHI")]
    secret: String,
}

/// All API tokens, the oldest first.
#[derive(Serialize, ToSchema)]
struct ApiTokens {
    tokens: Vec<ApiTokenBody>,
}

/// Creates an API token
///
/// The response has the token's secret. The server stores a hash of it, so nobody can read the secret again.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "tokens",
    request_body = NewApiToken,
    responses(
        (status = 201, description = "The new API token.", body = CreatedApiToken),
        CommonProblems,
        BodyProblems,
        ConflictProblems
    )
)]
async fn create_api_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    _: Query<()>,
    JsonBody(new): JsonBody<NewApiToken>,
) -> Result<Response, Problem> {
    let List(clusters) = new.clusters;
    let scope = match (clusters.is_empty(), new.role) {
        (true, _) => Scope::All,
        (false, Role::Admin) => {
            let sentence = "clusters: must be empty for the role admin, which is for all clusters";
            return Err(Problem::new(Kind::Conflict, sentence));
        }
        (false, _) => Scope::Clusters(clusters.into_iter().map(|ClusterInScope(id)| id).collect()),
    };
    let now = app.registry.now();
    let token = ApiToken {
        expires_at: new.expires_in_seconds.map(|Seconds(expires)| now.after(expires.max(Duration::from_secs(1)))),
        ..ApiToken::new(new.name, new.role, scope, now, caller.actor.by.to_string())
    };
    let secret = Secret::draw(Secret::API_TOKEN);
    app.access.tokens.create(secret.hash(), &token).await?;
    audit::log_change(&caller.actor, "api_token_created", token.id.as_str());
    let created = CreatedApiToken { token: (&token).into(), secret: secret.reveal().to_owned() };
    Ok(json_response(StatusCode::CREATED, &created))
}

/// Lists API tokens
///
/// The list has expired and revoked tokens as well, and no secrets.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "tokens",
    responses((status = 200, description = "The API tokens.", body = ApiTokens), CommonProblems)
)]
async fn list_api_tokens(State(app): State<Arc<App>>, _: Query<()>) -> Result<Response, Problem> {
    let tokens = app.access.tokens.list().await?;
    Ok(json_response(StatusCode::OK, &ApiTokens { tokens: tokens.iter().map(Into::into).collect() }))
}

/// Revokes an API token
///
/// All servers of the database refuse it within a second or two. The token stays in the list.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    tag = "tokens",
    params(ApiTokenPath),
    responses((status = 204, description = "The token is revoked."), CommonProblems, ClusterProblems)
)]
async fn revoke_api_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    ApiTokenPath(id): ApiTokenPath,
    _: Query<()>,
) -> Result<Response, Problem> {
    if !app.access.tokens.revoke(&id, app.registry.now()).await? {
        return Err(Problem::no_such_api_token());
    }
    audit::log_change(&caller.actor, "api_token_revoked", id.as_str());
    Ok(StatusCode::NO_CONTENT.into_response())
}
