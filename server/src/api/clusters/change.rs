use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::{Cluster, ClusterName, Settings, Token, Transition, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cluster::{ClusterBody, cluster_response},
    settings::{PolicySettings, Size},
};
use crate::{
    access::Caller,
    api::{
        asked_url::AskedUrl,
        body::{Clearable, JsonBody, body},
        etag::{IfMatch, with_etag},
        path::TokenPath,
        problem::{
            Problem,
            documented::{BodyProblems, ClusterProblems, CommonProblems, ConflictProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
    registry::{Inputs, Needs},
};

body! {
    /// The changes of a cluster. A field that is left out keeps its value.
    #[body(name = "ClusterChange", unknown_fields = Refused)]
    pub struct ClusterChange {
        /// The number of voters that the cluster should have. Members join or leave one after another until the cluster has its size.
        #[example = 5]
        size: Option<Size>,
        /// The cluster's name; null removes it.
        #[example = "prod"]
        name: Clearable<ClusterName>,
        /// How Convene maintains the cluster.
        policy: Option<PolicySettings>,
    }
}

/// Changes a cluster's size, name or policy
///
/// Send the ETag that you have read as `If-Match`, so that you don't overwrite a concurrent change.
#[utoipa::path(
    patch,
    path = "/v1/clusters/{cluster}",
    tag = "clusters",
    params(TokenPath, IfMatch),
    request_body = ClusterChange,
    responses(
        (
            status = 200,
            description = "The cluster after the change.",
            body = UpdatedCluster,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        ConflictProblems,
        PreconditionProblems
    )
)]
pub async fn change_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    _: Query<()>,
    if_match: IfMatch,
    JsonBody(change): JsonBody<ClusterChange>,
) -> Result<Response, Problem> {
    let policy = change.policy.unwrap_or_default().into_change();
    let settings = Settings { size: change.size.map(|Size(size)| size), name: change.name.0, policy };
    let cluster = apply_settings(&app, &caller, &token, if_match, settings).await?;
    let carried_out_by = app.registry.who_can_change(&cluster).await?;
    let surplus_voters = cluster.surplus_voters();
    let cluster_body = ClusterBody::new(&asked, &cluster);
    Ok(with_etag(&cluster, &UpdatedCluster { cluster: cluster_body, surplus_voters, carried_out_by }))
}

/// A cluster after a change, and who can carry the change out.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpdatedCluster {
    #[serde(flatten)]
    cluster: ClusterBody,
    /// How many voters the size requests to remove. Only a lowered size requests removals, and only of voters that were on
    /// record then.
    #[schema(example = 0)]
    surplus_voters: usize,
    /// The names of the nodes that check in and could change the membership now. If there are none, the members stay as they
    /// are until a node checks in.
    #[schema(example = json!(["infra3"]))]
    carried_out_by: Vec<String>,
}

/// Changes a cluster's settings and responds with the cluster.
pub async fn change_settings(
    app: Arc<App>,
    caller: Caller,
    asked: AskedUrl,
    token: Token,
    if_match: IfMatch,
    settings: Settings,
) -> Result<Response, Problem> {
    let cluster = apply_settings(&app, &caller, &token, if_match, settings).await?;
    Ok(cluster_response(&asked, StatusCode::OK, &cluster))
}

async fn apply_settings(
    app: &App,
    caller: &Caller,
    token: &Token,
    if_match: IfMatch,
    settings: Settings,
) -> Result<Arc<Cluster>, Problem> {
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.set(&settings, at)?)
    };
    administer(app, caller, token, decide).await
}

/// Makes an administrator's change to an existing cluster, unless `decide` returns no change, and returns the cluster
/// afterwards.
pub async fn administer(
    app: &App,
    caller: &Caller,
    token: &Token,
    decide: impl Fn(&Cluster, UnixMillis) -> Result<Option<Transition>, Problem> + Send + 'static,
) -> Result<Arc<Cluster>, Problem> {
    let decide = move |inputs: Inputs<'_>| {
        let Some(cluster) = inputs.cluster else { return (None, Err(Problem::no_such_cluster())) };
        match decide(cluster, inputs.now) {
            Ok(change) => (change, Ok(Arc::new(cluster.clone()))),
            Err(problem) => (None, Err(problem)),
        }
    };
    let (committed, before) = app.registry.transact(token, &caller.actor, Needs::Cluster, decide).await?;
    let before = before?;
    for event in committed.iter().flat_map(|committed| &committed.events) {
        tracing::info!(cluster = %before.id, revision = %event.revision, "{}", event.message);
    }
    Ok(committed.and_then(|committed| committed.after).unwrap_or(before))
}
