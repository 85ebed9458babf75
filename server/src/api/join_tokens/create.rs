use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use convene_lifecycle::{Cidr, Cluster, JoinTokenRequest, MemberName, UnixMillis};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::join_token::JoinTokenBody;
use crate::{
    access::Caller,
    api::{
        answer::json_response,
        body::{JsonBody, Limits, Number, Scalar, Seconds, body, text},
        clusters::administer,
        path::TokenPath,
        problem::{
            Problem, Violation,
            documented::{BodyProblems, ClusterProblems, CommonProblems, ConflictProblems},
        },
        query::Query,
    },
    app::App,
    secret::Secret,
};

/// For how long a join token lets nodes in, unless the request says otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 3_600);

body! {
    /// What a join token lets in. All fields may be left out.
    #[body(name = "NewJoinToken", unknown_fields = Refused)]
    #[derive(Default)]
    pub struct NewJoinToken {
        /// The only node that may use it.
        #[example = "infra3"]
        node: Option<MemberName>,
        /// The only addresses from which it may be used.
        #[example = "10.0.0.0/16"]
        cidr: Option<Cidr>,
        /// For how long it lets nodes in: 1 second to 90 days; 24 hours unless given.
        #[example = 86400]
        ttl_seconds: Option<Seconds<1, { 90 * 24 * 3600 }>>,
        /// How many nodes it may let in, each once; 1 unless given.
        #[example = 3]
        uses: Option<Number<1, 1000>>,
    }
}

/// A new join token.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedJoinToken {
    #[serde(flatten)]
    join_token: JoinTokenBody,
    /// The secret, which no other response shows. Give it to the nodes with `--join-token-file FILE`.
    #[schema(example = "cvnj_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    secret: String,
}

/// Creates a join token
///
/// A node exchanges it for a credential of its own at its first check-in. Clusters with the policy `join: token` demand one.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/join-tokens",
    tag = "join tokens",
    params(TokenPath),
    request_body = Option<NewJoinToken>,
    responses(
        (status = 201, description = "The new join token, with its secret.", body = CreatedJoinToken),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        ConflictProblems
    )
)]
pub async fn create_join_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    TokenPath(token): TokenPath,
    _: Query<()>,
    JsonBody(new): JsonBody<Option<NewJoinToken>>,
) -> Result<Response, Problem> {
    let NewJoinToken { node, cidr, ttl_seconds, uses } = new.unwrap_or_default();
    let uses = uses.map_or(1, |Number(uses)| uses);
    if node.is_some() && uses > 1 {
        let message = format!("must be 1 for a join token with a node, which can use it once, not {uses}");
        return Err(Problem::invalid("body", vec![Violation::new("uses", message)]));
    }
    let secret = Secret::draw(Secret::JOIN_TOKEN);
    let ttl = ttl_seconds.map_or(DEFAULT_TTL, |Seconds(ttl)| ttl);
    let request = JoinTokenRequest { hash: secret.hash(), node, cidr, ttl, uses };
    let created = request.clone();
    let decide = move |cluster: &Cluster, at: UnixMillis| Ok(Some(cluster.create_join_token(&created, at)?));
    let cluster = administer(&app, &caller, &token, decide).await?;
    let created = cluster.admission.join_tokens.iter().find(|token| token.hash == request.hash);
    let created = created.expect("the change has created the join token");
    let join_token = JoinTokenBody::new(created, app.registry.now());
    let body = CreatedJoinToken { join_token, secret: secret.reveal().to_owned() };
    Ok(json_response(StatusCode::CREATED, &body))
}

impl Scalar for Cidr {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "an IP address, or the first of a range with the length of its prefix, such as 10.1.0.0/16".into()
    }

    fn schema() -> RefOr<Schema> {
        text().min_length(Some(2)).max_length(Some(49)).into()
    }
}
