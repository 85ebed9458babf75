use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::{Cluster, UnixMillis};

use super::join_token::JoinTokenBody;
use crate::{
    access::Caller,
    api::{
        clusters::administer,
        etag::{IfMatch, with_etag},
        path::{JoinTokenPath, TokenPath},
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// Revokes a join token
///
/// It lets no further node in. The nodes that it has let in stay.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}/join-tokens/{id}",
    tag = "join tokens",
    params(TokenPath, JoinTokenPath, IfMatch),
    responses(
        (
            status = 200,
            description = "The join token, which is revoked.",
            body = JoinTokenBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        PreconditionProblems
    )
)]
pub async fn revoke_join_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    JoinTokenPath(id): JoinTokenPath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let revoked = id.clone();
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.revoke_join_token(&revoked, at)?)
    };
    let cluster = administer(&app, &caller, &token, decide).await?;
    let revoked = cluster.admission.join_tokens.iter().find(|token| token.id() == id);
    let revoked = revoked.expect("a revoked join token stays");
    Ok(with_etag(&cluster, &JoinTokenBody::new(revoked, app.registry.now())))
}
