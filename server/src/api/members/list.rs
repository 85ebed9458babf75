use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::member::{MemberBody, with_etag};
use crate::{
    api::{
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems},
        },
        query::{Pairs, Parameters, Query},
    },
    app::App,
};

/// Which members to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MemberParameters {
    /// Whether to include removed members.
    #[param(value_type = Option<bool>, default = false)]
    removed: bool,
}

impl Parameters for MemberParameters {
    fn read(pairs: &mut Pairs) -> Self {
        Self { removed: pairs.optional("removed", "true or false").unwrap_or(false) }
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
    path = "/v1/clusters/{token}/members",
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
    let last_seen = app.registry.last_seen(&token).await?;
    let listed = snapshot.cluster.record.iter().filter(|member| parameters.removed || member.removed.is_none());
    let members = listed.map(|member| MemberBody::new(member, last_seen.get(&member.key).copied())).collect();
    Ok(with_etag(&snapshot.cluster, &Members { members }))
}
