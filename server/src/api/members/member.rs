use axum::{
    http::{StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Cluster, Member, MemberKey, MemberRequest, Role, Token, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{
        answer::json_response,
        clusters::administer,
        etag::{IfMatch, etag},
        problem::Problem,
        time::Timestamp,
    },
    app::App,
};

/// A member of a cluster, as the registry knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberBody {
    /// Its ID, as etcd prints it, unless a v2 client registered it under something else.
    #[schema(example = "8e9e05c52164694d")]
    id: String,
    /// Its name.
    #[schema(example = "infra0")]
    name: String,
    /// Where other members reach it.
    #[schema(example = json!(["http://10.0.0.1:2380"]))]
    peer_urls: Vec<String>,
    /// Where clients reach it, as far as it is known.
    #[schema(example = json!(["http://10.0.0.1:2379"]))]
    client_urls: Vec<String>,
    /// Whether it votes.
    role: RoleWord,
    /// Whether its etcd is known to have run.
    started: bool,
    /// When it was last heard of: its node checked in, or its etcd answered one that did. Null: never.
    heard_of_at: Option<Timestamp>,
    /// Since when it is to be removed; null if it is not.
    evicted_at: Option<Timestamp>,
    /// Until when it may be down without counting as dead; null if no downtime was announced.
    downtime_until: Option<Timestamp>,
    /// Whether it was removed.
    removed: bool,
    /// The cluster's revision since which it has been there.
    #[schema(minimum = 1, example = 2)]
    created_revision: u64,
    /// The cluster's revision when it last changed.
    #[schema(minimum = 1, example = 2)]
    modified_revision: u64,
}

/// Whether a member votes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
#[serde(rename_all = "snake_case")]
enum RoleWord {
    /// It counts towards the quorum.
    Voter,
    /// It only receives what the voters decide.
    Learner,
}

impl MemberBody {
    /// A member, and when it was last heard of.
    pub fn new(member: &Member, heard_of_at: Option<UnixMillis>) -> Self {
        Self {
            id: member.key.to_string(),
            name: member.name().to_string(),
            peer_urls: member.registration.peer_urls.iter().map(ToString::to_string).collect(),
            client_urls: member.client_urls.iter().map(ToString::to_string).collect(),
            role: match member.role {
                Role::Voter => RoleWord::Voter,
                Role::Learner => RoleWord::Learner,
            },
            started: member.started,
            heard_of_at: heard_of_at.map(Timestamp),
            evicted_at: member.eviction.map(Timestamp),
            downtime_until: member.downtime_until.map(Timestamp),
            removed: member.removed.is_some(),
            created_revision: member.created.0,
            modified_revision: member.modified.0,
        }
    }
}

/// Does what an administrator wishes for a member, and answers with the member.
pub async fn request_for_member(
    app: &App,
    token: &Token,
    key: MemberKey,
    if_match: IfMatch,
    request: impl Fn(UnixMillis) -> MemberRequest + Send + 'static,
) -> Result<Response, Problem> {
    let wished = key.clone();
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.apply_request(&wished, request(at), at)?)
    };
    let cluster = administer(app, token, decide).await?;
    member_response(app, &cluster, &key).await
}

/// An answer about members with the ETag of their cluster, because a change of theirs is one of it.
pub fn with_etag(cluster: &Cluster, body: &impl Serialize) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    response
}

/// An answer with a member in it, be it one now or not any more.
pub async fn member_response(app: &App, cluster: &Cluster, key: &MemberKey) -> Result<Response, Problem> {
    let member = cluster.record.iter().find(|member| member.key == *key).ok_or_else(Problem::no_such_member)?;
    let heard_of_at = app.registry.last_seen(&cluster.token).await?.get(key).copied();
    Ok(with_etag(cluster, &MemberBody::new(member, heard_of_at)))
}
