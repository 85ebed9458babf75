use axum::{
    http::{StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Cluster, Held, HoldReason, NodeRefusal, Policy, Purpose, RecordedRefusal, Ticket};
use serde::Serialize;
use utoipa::ToSchema;

use super::settings::{JoinWord, StockWritesWord, StrategyWord};
use crate::{
    api::{answer::json_response, asked_url::AskedUrl, etag::etag, time::Timestamp},
    store::ClusterSummary,
};

/// A cluster as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
pub struct ClusterBody {
    /// The public name of the cluster. It can stand in paths in place of the token, and gives no rights.
    #[schema(example = "cl-00019a2b3c4d5e6f")]
    id: String,
    /// The secret name of the cluster. Anyone who knows the token can read the cluster, and register nodes while it forms. Null
    /// unless the request names the cluster by its token, creates it, or has `show_token=true` from somebody who may change it.
    #[schema(example = "6c007a14875d53d9bf0ef5a6fc0257c8")]
    token: Option<String>,
    /// The cluster's name, for administrators; null if it has none.
    name: Option<String>,
    /// The discovery URL, for etcd's `--discovery`. Without `--public-url` it has the host of the request. Null if
    /// the token is.
    #[schema(example = "http://discovery.corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8")]
    discovery_url: Option<String>,
    /// The number of voters that the cluster should have.
    #[schema(minimum = 1, example = 3)]
    size: u32,
    /// Counts the cluster's changes, from 1. The ETag is the revision in quotes.
    #[schema(minimum = 1, example = 1)]
    revision: u64,
    /// When the cluster was created.
    created_at: Timestamp,
    /// The phase of the cluster.
    phase: Phase,
    /// Counts the attempts to form the cluster, from 1.
    #[schema(minimum = 1, example = 1)]
    epoch: u32,
    /// The etcd cluster's ID; null if it is not known.
    #[schema(example = "cdf818194e3a8c32")]
    cluster_id: Option<String>,
    /// The number of voters.
    #[schema(example = 3)]
    voter_count: usize,
    /// The number of learners.
    #[schema(example = 0)]
    learner_count: usize,
    /// How Convene maintains the cluster.
    policy: PolicyBody,
    /// The membership change under way; null if there is none.
    ticket: Option<TicketBody>,
    /// Why the cluster may not form now; null if it may form, or has formed.
    held: Option<HeldBody>,
    /// The last refusal of each node that has refused an instruction, oldest first.
    #[schema(max_items = 16)]
    refusals: Vec<RefusalBody>,
    /// How many refusals were ever recorded. A refusal that a node repeats within an hour counts once.
    #[schema(example = 0)]
    refusal_count: u64,
}

/// The phase of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Founders are still missing.
    Forming,
    /// All founders are known and may have started etcd.
    Formed,
    /// A node has reported that the etcd cluster exists.
    Bootstrapped,
}

/// How Convene maintains a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyBody {
    /// Which membership changes Convene makes without a request.
    strategy: StrategyWord,
    /// How long a member must be silent, and probes of it must fail, before it counts as dead.
    #[schema(example = 60)]
    dead_after_seconds: u64,
    /// Whether a node joins as a learner and is promoted once it has caught up. If not, it joins as a voter.
    learner: bool,
    /// How often a running node checks in.
    #[schema(example = 10)]
    check_in_every_seconds: u64,
    /// Whether all membership changes are paused until an administrator resumes them.
    paused: bool,
    /// After how many starts a member counts as failing, if etcd did not answer, or ended within 10 s, each time. The
    /// check-ins of a failing member are no sign of life.
    #[schema(example = 5)]
    max_failed_starts: u32,
    /// How many witnesses must confirm that a voter is dead: 1 for failed probes alone, 2 for failed probes and the
    /// voters' side.
    #[schema(example = 2)]
    witnesses: u32,
    /// Whether v2 and v3 clients may change the cluster after it has formed, and the size of a check-in raises the cluster's.
    /// Reads are always allowed.
    stock_writes: StockWritesWord,
    /// What a node must show when it checks in. Only a server with `--auth on` demands it.
    join: JoinWord,
}

/// The lease for the one membership change that a cluster may have under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ticket)]
pub struct TicketBody {
    /// The ticket's number, which grows with every ticket of the cluster.
    #[schema(example = 1)]
    number: u64,
    /// The name of the node that makes the change.
    #[schema(example = "infra3")]
    holder: String,
    /// The kind of change.
    purpose: PurposeWord,
    /// The member that the change affects; null if there is none yet.
    member_id: Option<String>,
    /// When the ticket was granted.
    granted_at: Timestamp,
    /// When the change last progressed in etcd's list. A change that does not progress loses the ticket after 15 seconds.
    progress_at: Timestamp,
}

/// Why the cluster may not form: another etcd cluster may exist. Adopt that cluster, or reset this one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub struct HeldBody {
    /// Since when.
    since: Timestamp,
    /// What shows that another cluster may exist.
    reason: HoldReasonWord,
    /// The name of the node that reported it; null if the registry itself found it.
    #[schema(example = "infra3")]
    node: Option<String>,
    /// The ID of the etcd cluster that may exist; null if unknown.
    #[schema(example = "cdf818194e3a8c32")]
    cluster_id: Option<String>,
}

/// An instruction that a node refused, because its own check contradicted it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeRefusal)]
pub struct RefusalBody {
    /// The name of the node.
    #[schema(example = "infra3")]
    node: String,
    /// The name of the instruction.
    #[schema(example = "remove_member")]
    instruction: String,
    /// What the node saw, for people.
    #[schema(example = "infra1 (8e9e05c52164694d) answers")]
    found: String,
    /// When the node reported it.
    at: Timestamp,
}

/// The kind of a membership change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Purpose)]
#[serde(rename_all = "snake_case")]
enum PurposeWord {
    /// The holder joins; `member_id` is the member that the holder replaces.
    Join,
    /// Remove a member.
    Remove,
    /// Change a member's peer URLs.
    Update,
    /// Promote a learner to voter.
    Promote,
}

impl ClusterBody {
    /// The body for a cluster.
    pub fn new(asked: &AskedUrl, cluster: &Cluster) -> Self {
        let voter_count = cluster.voters().count();
        Self::with_counts(asked, cluster, voter_count, cluster.members().count() - voter_count)
    }

    /// The body for a cluster in a list.
    pub fn of_summary(asked: &AskedUrl, summary: &ClusterSummary) -> Self {
        Self::with_counts(asked, &summary.without_members, summary.voter_count, summary.learner_count)
    }

    fn with_counts(asked: &AskedUrl, cluster: &Cluster, voter_count: usize, learner_count: usize) -> Self {
        let token = asked.shows_token_of(cluster).then(|| cluster.token.as_str());
        Self {
            id: cluster.id.to_string(),
            token: token.map(str::to_owned),
            name: cluster.name.as_ref().map(ToString::to_string),
            discovery_url: token.map(|token| format!("{}/{token}", asked.url)),
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
            held: cluster.held.as_ref().map(Into::into),
            refusals: cluster.refusals.iter().map(Into::into).collect(),
            refusal_count: cluster.refusal_count,
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
        // Without `..`, so that a new field does not compile until it is shown.
        let Policy {
            strategy,
            dead_after,
            learner,
            check_in_every,
            paused,
            max_failed_starts,
            witnesses,
            stock_writes,
            join,
        } = *policy;
        Self {
            strategy: strategy.into(),
            dead_after_seconds: dead_after.as_secs(),
            learner,
            check_in_every_seconds: check_in_every.as_secs(),
            paused,
            max_failed_starts,
            witnesses,
            stock_writes: stock_writes.into(),
            join: join.into(),
        }
    }
}

/// What shows that another cluster may exist.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HoldReason)]
#[serde(rename_all = "snake_case")]
enum HoldReasonWord {
    /// A node has data that is not of this cluster.
    DataReported,
    /// Another etcd cluster answers a node, at the node's own address or before any node has registered.
    ClusterAnswers,
    /// A node knows a later revision of this cluster than the registry.
    NewerView,
    /// Founders that may have bootstrapped the cluster have no data, and are on other disks than before.
    DisksMissing,
    /// The registry's database is an older copy, or may be one.
    StoreWentBack,
}

impl From<HoldReason> for HoldReasonWord {
    fn from(reason: HoldReason) -> Self {
        match reason {
            HoldReason::DataReported => Self::DataReported,
            HoldReason::ClusterAnswers => Self::ClusterAnswers,
            HoldReason::NewerView => Self::NewerView,
            HoldReason::DisksMissing => Self::DisksMissing,
            HoldReason::StoreWentBack => Self::StoreWentBack,
        }
    }
}

impl From<&Held> for HeldBody {
    fn from(held: &Held) -> Self {
        Self {
            since: Timestamp(held.since),
            reason: held.reason.into(),
            node: held.node.as_ref().map(ToString::to_string),
            cluster_id: held.cluster.map(|id| id.to_string()),
        }
    }
}

impl From<&RecordedRefusal> for RefusalBody {
    fn from(RecordedRefusal { node, refusal, at }: &RecordedRefusal) -> Self {
        let NodeRefusal { task, found } = refusal.clone();
        Self { node: node.to_string(), instruction: task, found, at: Timestamp(*at) }
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
            progress_at: Timestamp(ticket.progress_at),
        }
    }
}

/// A response with a cluster and its ETag.
pub fn cluster_response(asked: &AskedUrl, status: StatusCode, cluster: &Cluster) -> Response {
    let mut response = json_response(status, &ClusterBody::new(asked, cluster));
    response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    response
}
