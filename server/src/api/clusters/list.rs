use std::{borrow::Cow, collections::BTreeSet, str::FromStr, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::ClusterName;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{KnownFormat, RefOr, Schema},
};

use super::cluster::ClusterBody;
use crate::{
    access::{Caller, Scope},
    api::{
        answer::json_response,
        asked_url::AskedUrl,
        body::{Limits, Scalar, integer, text},
        problem::{Problem, documented::CommonProblems},
        query::{Query, parameters},
    },
    app::App,
    store::{ClusterFilter, Cursor},
};

parameters! {
    /// Which clusters to list.
    pub struct ListParameters {
        /// Maximum number of clusters.
        limit: PageSize = PageSize(100),
        /// Where to continue: `next` of the previous page.
        after: Option<Cursor>,
        /// Only clusters with this name.
        name: Option<ClusterName>,
        /// Only clusters that have formed, or only those that have not.
        formed: Option<bool>,
        /// Only clusters that are paused, or only those that are not.
        paused: Option<bool>,
        /// Whether to show the discovery tokens and URLs of the clusters that the caller may change.
        show_token: bool = false,
    }
}

/// How many clusters a page has at most.
#[derive(Debug, Serialize)]
struct PageSize(u32);

impl PageSize {
    const MAX: u32 = 1000;
}

impl FromStr for PageSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|limit| (1..=Self::MAX).contains(limit)).map(Self).ok_or(())
    }
}

impl Scalar for PageSize {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a whole number from 1 to {}", Self::MAX).into()
    }

    fn schema() -> RefOr<Schema> {
        integer(KnownFormat::Int32).minimum(Some(1)).maximum(Some(Self::MAX)).into()
    }
}

impl Scalar for Cursor {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "the next of a previous page".into()
    }

    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9a-f]{16}$")).into()
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
/// The list has only the clusters in the scope of the caller's role.
#[utoipa::path(
    get,
    path = "/v1/clusters",
    tag = "clusters",
    params(ListParameters),
    responses((status = 200, description = "A page of clusters.", body = ClusterPage), CommonProblems)
)]
pub async fn list_clusters(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    Query(parameters): Query<ListParameters>,
) -> Result<Response, Problem> {
    let ListParameters { limit: PageSize(limit), after, name, formed, paused, show_token } = parameters;
    let ids = match caller.principal.role() {
        Some((_, Scope::All)) => None,
        Some((_, Scope::Clusters(clusters))) => Some(clusters.clone()),
        None => Some(BTreeSet::new()),
    };
    let filter = ClusterFilter { after, name, formed, paused, ids };
    let asked = asked.with_tokens_if(show_token, caller);
    let (found, next) = app.registry.list(filter, limit).await?;
    let clusters = found.iter().map(|cluster| ClusterBody::of_summary(&asked, cluster)).collect();
    let page = ClusterPage { clusters, next: next.map(|next| next.to_string()) };
    Ok(json_response(StatusCode::OK, &page))
}
