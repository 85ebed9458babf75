use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Cluster, ClusterName, ClusterSize, NewClusterToken, Settings};
use serde::{Deserialize, Deserializer, de::Error};
use utoipa::ToSchema;

use super::{
    cluster::{ClusterBody, cluster_response},
    settings::{PolicySettings, Size},
};
use crate::{
    api::{
        body::{Body, Field, Fields, JsonBody, Limits},
        problem::{
            Kind, Problem,
            documented::{BodyProblems, CommonProblems, ConflictProblems},
        },
        query::Query,
    },
    app::App,
    draw_token::draw_token,
    registry::{Committed, Registry},
};

/// What a cluster is made with; everything may be left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCluster {
    /// How many voters it is to have: 3, if it is not said. The server may be started with a lower limit
    /// (`--max-cluster-size`).
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 3)]
    size: Option<Size>,
    /// A token of your own, unless one is to be drawn. Make it hard to guess.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$")]
    token: Option<OwnToken>,
    /// What you call it, for your own eyes.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", example = "prod")]
    name: Option<ClusterName>,
    /// How it is to be looked after.
    policy: Option<PolicySettings>,
}

impl Body for NewCluster {
    const MAY_BE_MISSING: bool = true;

    fn check(fields: &mut Fields<'_>) {
        fields.optional::<Size>("size");
        fields.optional::<OwnToken>("token");
        fields.optional::<ClusterName>("name");
        fields.object::<PolicySettings>("policy");
    }
}

/// Makes a cluster
///
/// Etcds that are started with its discovery URL find each other and form it.
#[utoipa::path(
    post,
    path = "/v1/clusters",
    tag = "clusters",
    request_body = Option<NewCluster>,
    responses(
        (
            status = 201,
            description = "It is made.",
            body = ClusterBody,
            headers(
                ("Location" = String, description = "Where it is."),
                ("ETag" = String, description = "Its revision in quotes.")
            )
        ),
        CommonProblems,
        BodyProblems,
        ConflictProblems
    )
)]
pub async fn create_cluster(
    State(app): State<Arc<App>>,
    _: Query<()>,
    JsonBody(new): JsonBody<NewCluster>,
) -> Result<Response, Problem> {
    let size = new.size.map_or_else(|| ClusterSize::DEFAULT.min(app.max_cluster_size), |Size(size)| size);
    let policy = new.policy.unwrap_or_default().into_change();
    let settings = Settings { size: Some(size), name: Some(new.name), policy };
    let made = match new.token {
        Some(OwnToken(token)) => create_under(&app.registry, token, settings).await?,
        None => app.registry.create(draw_token(), settings).await?,
    };
    // As it was made: somebody may have changed it since.
    let made = made.after.expect("a cluster that is made is there");
    tracing::info!(cluster = %made.token, %size, "cluster made");
    let mut response = cluster_response(&app, StatusCode::CREATED, &made);
    let location = HeaderValue::from_str(&format!("/v1/clusters/{}", made.token.as_str()));
    response.headers_mut().insert(header::LOCATION, location.expect("a token's characters can stand in a header"));
    Ok(response)
}

async fn create_under(registry: &Registry, token: NewClusterToken, settings: Settings) -> Result<Committed, Problem> {
    let named = token.clone();
    let decide = move |cluster: Option<&Cluster>, at| match cluster {
        None => Ok(Cluster::create_with(named.clone(), &settings, at)),
        Some(_) => Err(Problem::new(Kind::Conflict, "a cluster has this token already; take another, or leave it out")),
    };
    registry.update(&token, decide).await?
}

/// A token that somebody chose.
#[derive(Debug)]
struct OwnToken(NewClusterToken);

impl<'de> Deserialize<'de> for OwnToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl Field for OwnToken {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!(
            "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', neither '.' nor '..', and none of the words that the \
             server's own URLs begin with: {}",
            NewClusterToken::RESERVED.join(", ")
        )
        .into()
    }
}
