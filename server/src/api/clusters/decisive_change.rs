//! Changes that replace what the registry knows about a cluster. A dry run returns what they would change.

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Cluster, Event, Token, Transition, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::ClusterBody;
use crate::{
    access::Caller,
    api::{answer::json_response, asked_url::AskedUrl, etag::etag, problem::Problem, query::parameters},
    app::App,
    registry::{Inputs, Needs},
};

parameters! {
    /// The options of a change that replaces what the registry knows about a cluster.
    pub struct DryRun {
        /// Whether to return what would change, without changing anything.
        dry_run: bool = false,
    }
}

/// A cluster, and what a request has changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedCluster)]
pub struct ChangedClusterBody {
    /// The cluster after the change.
    #[serde(flatten)]
    cluster: ClusterBody,
    /// What has changed (with `dry_run`: what would change), for people. Empty if nothing changes.
    #[schema(example = json!(["infra0 removed: it belonged to epoch 1", "epoch 2 started: reset by an administrator"]))]
    changes: Vec<String>,
}

/// Makes an administrator's change, or only decides it, and responds with the cluster afterwards.
pub async fn change_or_preview(
    app: &App,
    caller: &Caller,
    asked: &AskedUrl,
    token: &Token,
    DryRun { dry_run }: DryRun,
    decide: impl Fn(&Cluster, UnixMillis) -> Result<Option<Transition>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let decide = move |inputs: Inputs<'_>| {
        let Some(cluster) = inputs.cluster else { return (None, Err(Problem::no_such_cluster())) };
        match decide(cluster, inputs.now) {
            Err(problem) => (None, Err(problem)),
            Ok(None) => (None, Ok((cluster.clone(), Vec::new()))),
            Ok(Some(change)) => {
                let changed = (change.after.clone().unwrap_or_else(|| cluster.clone()), messages(&change.events));
                (Some(change).filter(|_| !dry_run), Ok(changed))
            }
        }
    };
    let (committed, decided) = app.registry.transact(token, &caller.actor, Needs::Cluster, decide).await?;
    let (cluster, changes) = decided?;
    for event in committed.iter().flat_map(|committed| &committed.events) {
        tracing::info!(cluster = %cluster.id, revision = %event.revision, "{}", event.message);
    }
    let body = ChangedClusterBody { cluster: ClusterBody::new(asked, &cluster), changes };
    let mut response = json_response(StatusCode::OK, &body);
    if !dry_run {
        response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    }
    Ok(response)
}

fn messages(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.message.to_string()).collect()
}
