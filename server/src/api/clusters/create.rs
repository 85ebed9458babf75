use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Action, Cluster, ClusterName, ClusterSize, NewClusterToken, Settings, Token};
use serde::{Deserialize, Deserializer, de::Error};
use utoipa::openapi::{RefOr, Schema};

use super::{
    cluster::{ClusterBody, cluster_response},
    settings::{PolicySettings, Size},
};
use crate::{
    access::Caller,
    api::{
        asked_url::AskedUrl,
        body::{JsonBody, Limits, Scalar, body, text},
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

body! {
    /// The settings of a new cluster. All of them may be left out.
    #[body(name = "NewCluster", unknown_fields = Refused)]
    #[derive(Default)]
    pub struct NewCluster {
        /// The number of voters that the cluster should have: 3 unless given. The server may allow fewer than 1000
        /// (`--max-cluster-size`).
        #[example = 3]
        size: Option<Size>,
        /// A token of your choice; if left out, the server draws a random one. Choose one that is hard to guess.
        token: Option<ChosenToken>,
        /// A name for the cluster, for administrators.
        #[example = "prod"]
        name: Option<ClusterName>,
        /// How Convene maintains the cluster.
        policy: Option<PolicySettings>,
    }
}

/// Creates a cluster
///
/// etcd nodes that start with the cluster's discovery URL find each other and form the cluster.
#[utoipa::path(
    post,
    path = "/v1/clusters",
    tag = "clusters",
    request_body = Option<NewCluster>,
    responses(
        (
            status = 201,
            description = "The new cluster.",
            body = ClusterBody,
            headers(
                ("Location" = String, description = "The path of the cluster."),
                ("ETag" = String, description = "The cluster's revision in quotes.")
            )
        ),
        CommonProblems,
        BodyProblems,
        ConflictProblems
    )
)]
pub async fn create_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    _: Query<()>,
    JsonBody(new): JsonBody<Option<NewCluster>>,
) -> Result<Response, Problem> {
    let new = new.unwrap_or_default();
    let size = new.size.map_or_else(|| ClusterSize::DEFAULT.min(app.max_cluster_size), |Size(size)| size);
    let policy = new.policy.unwrap_or_default().into_change();
    let settings = Settings { size: Some(size), name: Some(new.name), policy };
    let created = match new.token {
        Some(ChosenToken(token)) => create_under(&app.registry, &caller, token, settings).await?,
        None => app.registry.create(draw_token(), &caller.actor, settings).await?,
    };
    // The cluster at its creation; another request may have changed it since.
    let created = created.after.expect("a cluster exists after its creation");
    tracing::info!(cluster = %created.id, %size, "cluster created");
    let mut response = cluster_response(&asked.of_creator(), StatusCode::CREATED, &created);
    let location = HeaderValue::from_str(&format!("/v1/clusters/{}", created.id));
    response.headers_mut().insert(header::LOCATION, location.expect("an ID's characters can stand in a header"));
    Ok(response)
}

async fn create_under(
    registry: &Registry,
    caller: &Caller,
    token: NewClusterToken,
    settings: Settings,
) -> Result<Committed, Problem> {
    let named = token.clone();
    let decide = move |cluster: Option<&Cluster>, at| match cluster {
        None => Ok(Cluster::create_with(named.clone(), &settings, Action::Create, at)),
        Some(_) => Err(Problem::new(
            Kind::Conflict,
            "a cluster has this token already; choose another token, or omit it to get a random one",
        )),
    };
    registry.update(&token, &caller.actor, decide).await?
}

/// A token that an administrator chose.
#[derive(Debug)]
struct ChosenToken(NewClusterToken);

impl<'de> Deserialize<'de> for ChosenToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl Scalar for ChosenToken {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!(
            "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', neither '.' nor '..', and none of the reserved \
             words of the server's own URLs: {}",
            NewClusterToken::RESERVED.join(", ")
        )
        .into()
    }

    fn schema() -> RefOr<Schema> {
        let pattern = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$";
        text().min_length(Some(1)).max_length(Some(Token::MAX_LEN)).pattern(Some(pattern)).into()
    }
}
