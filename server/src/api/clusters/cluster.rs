use axum::{
    http::{StatusCode, header},
    response::Response,
};
use convene_lifecycle::Cluster;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{answer::json_response, etag::etag, time::Timestamp},
    app::App,
};

/// A cluster as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
pub struct ClusterBody<'a> {
    /// Names the cluster. Whoever knows it can register members: keep it secret.
    #[schema(example = "6c007a14875d53d9bf0ef5a6fc0257c8")]
    token: &'a str,
    /// What etcds are started with (`--discovery`).
    #[schema(example = "http://discovery.corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8")]
    discovery_url: String,
    /// How many voters it is to have.
    #[schema(minimum = 1, example = 3)]
    size: u32,
    /// Counts its changes, from 1; in quotes it is the ETag.
    #[schema(minimum = 1, example = 1)]
    revision: u64,
    /// When it was made.
    created_at: Timestamp,
    /// How far it has come.
    phase: Phase,
    /// How many members are registered.
    #[schema(example = 0)]
    member_count: usize,
}

/// How far a cluster has come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// It waits for members.
    Forming,
    /// As many members as it is to have have registered, so that etcds may have bootstrapped.
    Formed,
}

impl<'a> ClusterBody<'a> {
    fn new(app: &App, cluster: &'a Cluster) -> Self {
        let token = cluster.token.as_str();
        Self {
            token,
            discovery_url: format!("{}/{token}", app.public_url),
            size: cluster.size.get(),
            revision: cluster.revision.0,
            created_at: Timestamp(cluster.created_at),
            phase: if cluster.formed.is_some() { Phase::Formed } else { Phase::Forming },
            member_count: cluster.members().count(),
        }
    }
}

/// An answer with a cluster in it.
pub fn cluster_response(app: &App, status: StatusCode, cluster: &Cluster) -> Response {
    let mut response = json_response(status, &ClusterBody::new(app, cluster));
    response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    response
}
