use std::{borrow::Cow, str::FromStr, sync::Arc};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use convene_lifecycle::{Cluster, Token};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    access::Caller,
    api::{
        answer::json_response,
        body::{Limits, Scalar, text},
        etag::IfMatch,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::{Query, parameters},
    },
    app::App,
    connection::ClientAddress,
};

parameters! {
    /// The options of a deletion.
    pub struct DeleteParameters {
        /// Whether the token of a cluster that had members stays used up (`keep`), or a new cluster can have it (`forget`).
        /// `forget` also succeeds if there is no such cluster, so that you can repeat it, and free the token of a cluster that was
        /// deleted before.
        used: Used = Used::Keep,
    }
}

/// What becomes of the token of a cluster that had members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Used {
    /// No cluster can have it any more.
    Keep,
    /// A new cluster can have it.
    Forget,
}

impl FromStr for Used {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "keep" => Ok(Self::Keep),
            "forget" => Ok(Self::Forget),
            _ => Err(()),
        }
    }
}

impl Scalar for Used {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "keep or forget".into()
    }

    fn schema() -> RefOr<Schema> {
        text().enum_values(Some(["keep", "forget"])).into()
    }
}

/// What a deletion with `used=forget` has changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FreedToken)]
pub struct FreedTokenBody {
    /// The token, which a new cluster can have.
    #[schema(example = "prod")]
    token: String,
    /// Whether there was a cluster, which is deleted.
    deleted: bool,
    /// Whether the token was used up. If not, it was free, or is free because no member had registered.
    forgotten: bool,
    /// What to do before you use the token again, for people. Null if nothing has changed.
    #[schema(example = json!(WARNING))]
    warning: Option<&'static str>,
}

/// What it can cost to use a token again. etcd computes the ID of a founder from its peer URLs and the token, and the cluster ID from
/// the members' IDs (`server/etcdserver/api/membership/member.go:computeMemberID`, `cluster.go:genID`).
const WARNING: &str = "etcd computes the IDs of a cluster and of its members from the token and the peer URLs. Before \
                       you use this token again, stop every etcd and every convene of the former cluster, also nodes \
                       that still wait for it, and delete their data and archives. Otherwise two clusters can form, \
                       and writes can be lost. convene may archive data of the former cluster";

/// Deletes a cluster
///
/// Running etcd nodes keep running. If members had registered, the token can never be used again, unless `used=forget` frees it.
/// The response to `used=forget` warns of what it can cost to use the token again.
#[utoipa::path(
    delete,
    path = "/v1/clusters/{cluster}",
    tag = "clusters",
    params(TokenPath, DeleteParameters, IfMatch),
    responses(
        (status = 200, description = "With `used=forget`: a new cluster can have the token.", body = FreedTokenBody),
        (status = 204, description = "The cluster is deleted."),
        CommonProblems,
        ClusterProblems,
        PreconditionProblems
    )
)]
pub async fn delete_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    remote: ClientAddress,
    TokenPath(token): TokenPath,
    Query(DeleteParameters { used }): Query<DeleteParameters>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let deleted = delete_if_exists(&app, &caller, &token, if_match).await?;
    match used {
        Used::Keep if !deleted => Err(Problem::no_such_cluster()),
        Used::Keep => Ok(StatusCode::NO_CONTENT.into_response()),
        Used::Forget => {
            // The deletion has marked the token as used. If this fails, the client repeats the request.
            let forgotten = app.registry.forget_used(&token).await?;
            if forgotten {
                tracing::warn!(cluster = %token, %remote, "a used token is free again: a new cluster can have it");
            }
            let warning = (deleted || forgotten).then_some(WARNING);
            let body = FreedTokenBody { token: token.as_str().to_owned(), deleted, forgotten, warning };
            Ok(json_response(StatusCode::OK, &body))
        }
    }
}

/// Deletes a cluster. Returns whether there was one.
async fn delete_if_exists(app: &App, caller: &Caller, token: &Token, if_match: IfMatch) -> Result<bool, Problem> {
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.ok_or(None)?;
        if_match.check(cluster.revision).map_err(Some)?;
        Ok::<_, Option<Problem>>(cluster.delete(at))
    };
    match app.registry.update(token, &caller.actor, decide).await? {
        Ok(_) => {
            tracing::info!(cluster = %token, "cluster deleted");
            Ok(true)
        }
        Err(None) => Ok(false),
        Err(Some(problem)) => Err(problem),
    }
}
