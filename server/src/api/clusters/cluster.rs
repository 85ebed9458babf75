use axum::{
    http::{StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Cluster, Policy, Purpose, Ticket};
use serde::Serialize;
use utoipa::ToSchema;

use super::settings::StrategyWord;
use crate::{
    api::{answer::json_response, etag::etag, time::Timestamp},
    app::App,
    store::ClusterSummary,
};

/// A cluster as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
pub struct ClusterBody {
    /// Names the cluster. Whoever knows it can register members: keep it secret.
    #[schema(example = "6c007a14875d53d9bf0ef5a6fc0257c8")]
    token: String,
    /// What administrators call it; null if they gave it no name.
    name: Option<String>,
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
    /// Counts its attempts to form, from 1.
    #[schema(minimum = 1, example = 1)]
    epoch: u32,
    /// The etcd cluster's ID; null if it is not known.
    #[schema(example = "cdf818194e3a8c32")]
    cluster_id: Option<String>,
    /// How many members vote.
    #[schema(example = 3)]
    voter_count: usize,
    /// How many members only learn, and do not vote yet.
    #[schema(example = 0)]
    learner_count: usize,
    /// How it is looked after.
    policy: PolicyBody,
    /// The change of membership under way; null if there is none.
    ticket: Option<TicketBody>,
}

/// How far a cluster has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for members.
    Forming,
    /// The members that bootstrap it are known, so that etcds may have begun to.
    Formed,
    /// The etcd cluster exists: a node has shown it.
    Bootstrapped,
}

/// How a cluster is looked after.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyBody {
    /// Which changes of membership may be made without anybody asking for them.
    strategy: StrategyWord,
    /// For how long nobody may have heard of a member before it counts as dead.
    #[schema(example = 60)]
    dead_after_seconds: u64,
    /// Whether a node joins as learner and is promoted once it has caught up, or as voter.
    learner: bool,
    /// How often a running node checks in.
    #[schema(example = 10)]
    check_in_every_seconds: u64,
    /// Whether all changes of membership rest.
    paused: bool,
}

/// The one change of membership that a cluster may have under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ticket)]
pub struct TicketBody {
    /// Grows with every ticket of the cluster.
    #[schema(example = 1)]
    number: u64,
    /// The name of the node that makes the change.
    #[schema(example = "infra3")]
    holder: String,
    /// What the change is.
    purpose: PurposeWord,
    /// The member that it is about; null if there is none yet.
    member_id: Option<String>,
    /// Since when.
    granted_at: Timestamp,
}

/// What a change of membership is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Purpose)]
#[serde(rename_all = "snake_case")]
enum PurposeWord {
    /// The holder becomes a voter; `member_id` is the member whose place it takes.
    Join,
    /// A member is removed.
    Remove,
    /// A member gets other peer URLs.
    Update,
    /// A learner becomes a voter.
    Promote,
}

impl ClusterBody {
    /// A cluster, as it is told to those who know its token.
    pub fn new(app: &App, cluster: &Cluster) -> Self {
        let voter_count = cluster.voters().count();
        Self::with_counts(app, cluster, voter_count, cluster.members().count() - voter_count)
    }

    /// A cluster as it is listed.
    pub fn of_summary(app: &App, summary: &ClusterSummary) -> Self {
        Self::with_counts(app, &summary.without_members, summary.voter_count, summary.learner_count)
    }

    fn with_counts(app: &App, cluster: &Cluster, voter_count: usize, learner_count: usize) -> Self {
        let token = cluster.token.as_str();
        Self {
            token: token.to_owned(),
            name: cluster.name.as_ref().map(ToString::to_string),
            discovery_url: format!("{}/{token}", app.public_url),
            size: cluster.size.get(),
            revision: cluster.revision.0,
            created_at: Timestamp(cluster.created_at),
            phase: Phase::of(cluster),
            epoch: cluster.epoch.0,
            cluster_id: cluster.cluster_id.map(|id| id.to_string()),
            voter_count,
            learner_count,
            policy: (&cluster.policy).into(),
            ticket: cluster.ticket.as_ref().map(Into::into),
        }
    }
}

impl Phase {
    fn of(cluster: &Cluster) -> Self {
        match (cluster.formed, cluster.bootstrapped) {
            (None, _) => Self::Forming,
            (Some(_), None) => Self::Formed,
            (Some(_), Some(_)) => Self::Bootstrapped,
        }
    }
}

impl From<&Policy> for PolicyBody {
    fn from(policy: &Policy) -> Self {
        Self {
            strategy: policy.strategy.into(),
            dead_after_seconds: policy.dead_after.as_secs(),
            learner: policy.learner,
            check_in_every_seconds: policy.check_in_every.as_secs(),
            paused: policy.paused,
        }
    }
}

impl From<&Ticket> for TicketBody {
    fn from(ticket: &Ticket) -> Self {
        let (purpose, member) = match &ticket.purpose {
            Purpose::Join { replaces, .. } => (PurposeWord::Join, replaces.as_ref()),
            Purpose::Remove { member } => (PurposeWord::Remove, Some(member)),
            Purpose::Update { member, .. } => (PurposeWord::Update, Some(member)),
            Purpose::Promote { member } => (PurposeWord::Promote, Some(member)),
        };
        Self {
            number: ticket.number,
            holder: ticket.holder.to_string(),
            purpose,
            member_id: member.map(ToString::to_string),
            granted_at: Timestamp(ticket.granted_at),
        }
    }
}

/// An answer with a cluster in it.
pub fn cluster_response(app: &App, status: StatusCode, cluster: &Cluster) -> Response {
    let mut response = json_response(status, &ClusterBody::new(app, cluster));
    response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    response
}
