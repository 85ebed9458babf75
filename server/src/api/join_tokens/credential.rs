use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::{Cluster, MemberName, NodeCredential, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::Caller,
    api::{
        clusters::administer,
        etag::{IfMatch, with_etag},
        path::{NodePath, TokenPath},
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::Query,
        time::Timestamp,
    },
    app::App,
};

/// The credential of a node, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeCredential)]
pub struct CredentialBody {
    /// The node.
    #[schema(example = "infra3")]
    node: String,
    /// Its public ID, which events show. It stays when the node renews the credential.
    #[schema(example = "node-8e9e05c52164694d")]
    id: String,
    /// When it was bound to the node.
    created_at: Timestamp,
    /// When the node last renewed it; null if it never did.
    renewed_at: Option<Timestamp>,
    /// When it was revoked; null if it was not.
    revoked_at: Option<Timestamp>,
}

impl CredentialBody {
    pub fn new(node: &MemberName, credential: &NodeCredential) -> Self {
        Self {
            node: node.to_string(),
            id: credential.id.clone(),
            created_at: Timestamp(credential.created_at),
            renewed_at: credential.renewed_at.map(Timestamp),
            revoked_at: credential.revoked_at.map(Timestamp),
        }
    }
}

/// Revokes the credential of a node
///
/// The node's check-ins are refused from now on. Its etcd keeps running; evict the member to remove it. The name is free for a
/// node that may join.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}/nodes/{node}/credential",
    tag = "join tokens",
    params(TokenPath, NodePath, IfMatch),
    responses(
        (
            status = 200,
            description = "The credential, which is revoked.",
            body = CredentialBody,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        PreconditionProblems
    )
)]
pub async fn revoke_credential(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    NodePath(node): NodePath,
    _: Query<()>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let revoked = node.clone();
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.revoke_credential(&revoked, at)?)
    };
    let cluster = administer(&app, &caller, &token, decide).await?;
    let revoked = cluster.admission.credentials.get(&node).expect("a revoked credential stays");
    Ok(with_etag(&cluster, &CredentialBody::new(&node, revoked)))
}
