use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::ClusterName;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::cluster::ClusterBody;
use crate::{
    api::{
        answer::json_response,
        problem::{Problem, documented::CommonProblems},
        query::{Pairs, Parameters, Query},
    },
    app::App,
    store::{ClusterFilter, Cursor},
};

/// Which clusters to list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// Maximum number of clusters.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where to continue: `next` of the previous page.
    #[param(value_type = Option<String>, pattern = "^[0-9a-f]{16}$")]
    after: Option<Cursor>,
    /// Only clusters with this name.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    name: Option<ClusterName>,
    /// Only clusters that have formed, or only those that have not.
    formed: Option<bool>,
    /// Only clusters that are paused, or only those that are not.
    paused: Option<bool>,
}

impl Parameters for ListParameters {
    fn read(pairs: &mut Pairs) -> Self {
        let limit = pairs.optional::<PageSize>("limit", "a whole number from 1 to 1000");
        Self {
            limit: limit.map(|PageSize(limit)| limit),
            after: pairs.optional("after", "the next of a previous page"),
            name: pairs.optional("name", "a name of 1 to 128 characters without control characters"),
            formed: pairs.optional("formed", "true or false"),
            paused: pairs.optional("paused", "true or false"),
        }
    }
}

struct PageSize(u32);

impl std::str::FromStr for PageSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|limit| (1..=1000).contains(limit)).map(Self).ok_or(())
    }
}

/// A page of clusters, in the order of their creation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterPage {
    /// The clusters.
    clusters: Vec<ClusterBody>,
    /// The value of `after` for the next page; null if this page is the last.
    #[schema(example = "00019a2b3c4d5e6f")]
    next: Option<String>,
}

/// Lists clusters
///
/// Anyone with access to this endpoint can read every token. Restrict access to administrators.
#[utoipa::path(
    get,
    path = "/v1/clusters",
    tag = "clusters",
    params(ListParameters),
    responses((status = 200, description = "A page of clusters.", body = ClusterPage), CommonProblems)
)]
pub async fn list_clusters(
    State(app): State<Arc<App>>,
    Query(parameters): Query<ListParameters>,
) -> Result<Response, Problem> {
    let ListParameters { limit, after, name, formed, paused } = parameters;
    let filter = ClusterFilter { after, name, formed, paused };
    let (found, next) = app.registry.list(filter, limit.unwrap_or(100)).await?;
    let clusters = found.iter().map(|cluster| ClusterBody::of_summary(&app, cluster)).collect();
    let page = ClusterPage { clusters, next: next.map(|next| next.to_string()) };
    Ok(json_response(StatusCode::OK, &page))
}
