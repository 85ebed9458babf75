use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::member::MemberBody;
use crate::{
    api::{
        etag::with_etag,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems},
        },
        query::{Query, parameters},
    },
    app::App,
};

parameters! {
    /// Which members to list.
    pub struct MemberParameters {
        /// Whether to include removed members.
        removed: bool = false,
    }
}

/// A cluster's members.
#[derive(Debug, Serialize, ToSchema)]
pub struct Members {
    /// The members, in the order of their registration.
    members: Vec<MemberBody>,
}

/// Lists a cluster's members
///
/// The registry knows them from registrations, and from etcd's member list as reported by nodes.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}/members",
    tag = "members",
    params(TokenPath, MemberParameters),
    responses(
        (
            status = 200,
            description = "The members.",
            body = Members,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems
    )
)]
pub async fn list_members(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    Query(parameters): Query<MemberParameters>,
) -> Result<Response, Problem> {
    let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
    let liveness = app.registry.liveness_of(&token).await?;
    let listed = snapshot.cluster.record.iter().filter(|member| parameters.removed || member.removed.is_none());
    let members = listed.map(|member| MemberBody::new(member, &liveness)).collect();
    Ok(with_etag(&snapshot.cluster, &Members { members }))
}
