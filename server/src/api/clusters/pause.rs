use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::{PolicyChange, Settings};

use super::{change::change_settings, cluster::ClusterBody};
use crate::{
    access::Caller,
    api::{
        asked_url::AskedUrl,
        declared_json::DeclaredJson,
        etag::IfMatch,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, JsonProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// Pauses a cluster
///
/// Until the cluster is resumed, no membership is changed, and a cluster that is forming stays incomplete. Nodes with valid
/// data may still start.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/pause",
    tag = "clusters",
    params(TokenPath, IfMatch),
    responses(
        (status = 200, description = "The paused cluster.", body = ClusterBody),
        CommonProblems,
        ClusterProblems,
        JsonProblems,
        PreconditionProblems
    )
)]
pub async fn pause_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    _: Query<()>,
    _: DeclaredJson,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    change_settings(
        app,
        caller,
        asked,
        token,
        if_match,
        Settings { policy: PolicyChange { paused: Some(true), ..PolicyChange::default() }, ..Settings::default() },
    )
    .await
}

/// Resumes a cluster
///
/// Membership changes are possible again.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/resume",
    tag = "clusters",
    params(TokenPath, IfMatch),
    responses(
        (status = 200, description = "The resumed cluster.", body = ClusterBody),
        CommonProblems,
        ClusterProblems,
        JsonProblems,
        PreconditionProblems
    )
)]
pub async fn resume_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    _: Query<()>,
    _: DeclaredJson,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    change_settings(
        app,
        caller,
        asked,
        token,
        if_match,
        Settings { policy: PolicyChange { paused: Some(false), ..PolicyChange::default() }, ..Settings::default() },
    )
    .await
}
