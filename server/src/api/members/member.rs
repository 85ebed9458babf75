use std::sync::Arc;

use axum::response::Response;
use convene_lifecycle::{
    Announcer, Cluster, Liveness, Member, MemberKey, MemberName, MemberRequest, Role, Token, UnixMillis,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::{Caller, Principal},
    api::{
        clusters::administer,
        etag::{IfMatch, with_etag},
        problem::{Kind, Problem},
        time::Timestamp,
    },
    app::App,
    store::LivenessRecord,
};

/// A member of a cluster, as the registry knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberBody {
    /// The member's ID as etcd prints it, or the key under which a v2 client registered it.
    #[schema(example = "8e9e05c52164694d")]
    id: String,
    /// The member's name.
    #[schema(example = "infra0")]
    name: String,
    /// Where other members reach the member.
    #[schema(example = json!(["http://10.0.0.1:2380"]))]
    peer_urls: Vec<String>,
    /// Where clients reach the member; empty if unknown.
    #[schema(example = json!(["http://10.0.0.1:2379"]))]
    client_urls: Vec<String>,
    /// Whether the member is a voter or a learner.
    role: RoleWord,
    /// Whether etcd has been seen to run.
    started: bool,
    /// When the node last checked in, or when etcd last answered another node's probe; null if never.
    heard_of_at: Option<Timestamp>,
    /// When the member's etcd last answered a probe or its own node; null if never.
    answered_at: Option<Timestamp>,
    /// Since when probes of the member have failed; null if its etcd has answered since the last failed probe, or nobody
    /// probes it.
    unreachable_since: Option<Timestamp>,
    /// How often the member's etcd was started without an answer since it last answered. At `max_failed_starts` (a
    /// policy field), the member counts as failing.
    #[schema(example = 0)]
    failed_starts: u32,
    /// When an administrator requested the member's removal; null if not requested.
    evicted_at: Option<Timestamp>,
    /// The end of the announced downtime, until which the member does not count as dead; null if none was announced.
    downtime_until: Option<Timestamp>,
    /// Who announced the downtime; null if none was announced.
    downtime_by: Option<AnnouncerWord>,
    /// Whether the member was removed.
    removed: bool,
    /// The cluster's revision that added the member.
    #[schema(minimum = 1, example = 2)]
    created_revision: u64,
    /// The cluster's revision that last changed the member.
    #[schema(minimum = 1, example = 2)]
    modified_revision: u64,
}

/// Whether a member is a voter or a learner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
#[serde(rename_all = "snake_case")]
enum RoleWord {
    /// Counts towards the quorum.
    Voter,
    /// Receives the log, but does not vote.
    Learner,
}

/// Who announced a downtime.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Announcer)]
#[serde(rename_all = "snake_case")]
enum AnnouncerWord {
    /// The downtime lasts until its end, however often the member comes back.
    Administrator,
    /// The member's own node. The downtime ends when the member's etcd answers again.
    Node,
}

impl MemberBody {
    /// The body for a member.
    pub fn new(member: &Member, liveness: &LivenessRecord) -> Self {
        let known = liveness.detector.members.get(&member.key).copied().unwrap_or_default();
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
            heard_of_at: liveness.last_seen_of(&member.key).map(Timestamp),
            answered_at: known.answered.map(Timestamp),
            unreachable_since: known.unreachable_since().map(Timestamp),
            failed_starts: known.failed_starts(),
            evicted_at: member.eviction.map(Timestamp),
            downtime_until: member.downtime.map(|downtime| Timestamp(downtime.until)),
            downtime_by: member.downtime.map(|downtime| match downtime.by {
                Announcer::Administrator => AnnouncerWord::Administrator,
                Announcer::Node => AnnouncerWord::Node,
            }),
            removed: member.removed.is_some(),
            created_revision: member.created.0,
            modified_revision: member.modified.0,
        }
    }
}

/// Applies an administrator's request to a member, and responds with the member.
pub async fn request_for_member(
    app: &App,
    caller: &Caller,
    token: &Token,
    key: MemberKey,
    if_match: IfMatch,
    request: impl Fn(UnixMillis) -> MemberRequest + Send + 'static,
) -> Result<Response, Problem> {
    let cluster = apply_request(app, caller, token, &key, if_match, request).await?;
    member_response(app, &cluster, &key).await
}

/// Applies an administrator's request to a member, and returns the cluster afterwards.
pub async fn apply_request(
    app: &App,
    caller: &Caller,
    token: &Token,
    key: &MemberKey,
    if_match: IfMatch,
    request: impl Fn(UnixMillis) -> MemberRequest + Send + 'static,
) -> Result<Arc<Cluster>, Problem> {
    let requested = key.clone();
    let node = match &caller.principal {
        Principal::Node { name, .. } => Some((name.clone(), app.registry.liveness_of(token).await?.detector)),
        _ => None,
    };
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        if let Some((name, liveness)) = &node {
            check_is_own(name, liveness, cluster, &requested)?;
        }
        Ok(cluster.apply_request(&requested, request(at), at)?)
    };
    administer(app, caller, token, decide).await
}

/// Checks that a node makes a request for its own member.
fn check_is_own(node: &MemberName, liveness: &Liveness, cluster: &Cluster, key: &MemberKey) -> Result<(), Problem> {
    let Some(member) = cluster.record.iter().find(|member| member.key == *key) else { return Ok(()) };
    cluster.check_own_member(node, member, liveness).map_err(|error| {
        let detail = format!(
            "with the credential of node {node}, this is not allowed for member {} ({key}): {error}",
            member.name()
        );
        Problem::new(Kind::Forbidden, detail)
    })
}

/// A response with a member, which may be a removed one.
pub async fn member_response(app: &App, cluster: &Cluster, key: &MemberKey) -> Result<Response, Problem> {
    let member = cluster.record.iter().find(|member| member.key == *key).ok_or_else(Problem::no_such_member)?;
    let liveness = app.registry.liveness_of(&cluster.token).await?;
    Ok(with_etag(cluster, &MemberBody::new(member, &liveness)))
}
