use std::time::Duration;

use convene_lifecycle::{ClientUrl, EtcdFlags, MemberKey, PeerUrl, Task, Terms};
use serde::Serialize;
use utoipa::ToSchema;

use super::reason::ReasonWord;
use crate::registry::CheckInOutcome;

/// What a node should do next, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instruction)]
pub struct InstructionBody<'a> {
    /// What to do: `wait`, `observe`, `bootstrap`, `start`, `archive_data`, `remove_member`, `add_member`,
    /// `update_member`, `join`, `promote`, `leave`, `stand_by` or `refuse`. A node that does not know the instruction waits.
    #[schema(example = "bootstrap")]
    instruction: &'static str,
    /// The reason, for programs. It does not change with the wording of `message`.
    reason: ReasonWord,
    /// The reason, for people.
    #[schema(example = "all 3 founders are known; bootstrap together with them")]
    message: &'a str,
    /// When to check in again, in seconds; 0 means as soon as the instruction is done.
    #[schema(example = 10)]
    check_in_after_seconds: u64,
    /// With `wait` and `stand_by`: the node may check in again at once with `?wait=` this many seconds, instead of pausing for
    /// `check_in_after_seconds`. 0: the instruction may have changed while the server held the response, so check in again at once, and
    /// without `wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 10)]
    wait_seconds: Option<u64>,
    /// The cluster's revision that the instruction rests on. A node that observes the cluster now sends it as `view.since`.
    #[schema(minimum = 1, example = 5)]
    revision: u64,
    /// The cluster's epoch.
    #[schema(minimum = 1, example = 1)]
    epoch: u32,
    /// With `remove_member`, `update_member`, `promote` and `leave`: the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "8e9e05c52164694d")]
    member_id: Option<&'a str>,
    /// With `add_member` and `update_member`: the new peer URLs of the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false)]
    peer_urls: Option<&'a [PeerUrl]>,
    /// With `add_member`: whether to add a learner. If not, add a voter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    learner: Option<bool>,
    /// With every instruction that changes membership: the terms of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    terms: Option<TermsBody>,
    /// With `bootstrap` and `join`, and with `start` if the member is known: how to start etcd. etcd ignores these flags if
    /// it has a WAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    start: Option<StartBody<'a>>,
    /// With `observe`: the endpoints to observe.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    endpoints: Option<EndpointsBody<'a>>,
    /// With `refuse`: what an administrator can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remedy: Option<&'a str>,
}

/// The terms of a membership change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Terms)]
struct TermsBody {
    /// The number of the node's ticket.
    #[schema(example = 1)]
    ticket: u64,
    /// How long after sending its report the node may begin the change. After that, it has to check in again.
    #[schema(example = 20)]
    act_within_seconds: u64,
    /// The expected member list. The node reads etcd's member list through the quorum right before the change; if the lists
    /// differ, the node checks in again with its new view.
    expect: Vec<ExpectedBody>,
    /// The policy's `witnesses`. With 2, a node that can't read the leader's metrics removes no dead voter, unless the node runs
    /// one itself.
    #[schema(example = 2)]
    witnesses: u32,
}

/// A member that must be in etcd's member list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExpectedMember)]
struct ExpectedBody {
    /// The member's ID.
    #[schema(example = "8e9e05c52164694d")]
    id: String,
    /// Whether the member must be a learner.
    learner: bool,
}

/// How to start etcd. All flags matter if the data directory is empty.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Start)]
struct StartBody<'a> {
    /// `--name`
    #[schema(example = "infra0")]
    name: &'a str,
    /// `--initial-advertise-peer-urls`, comma-separated.
    #[schema(value_type = Vec<String>, example = json!(["http://10.0.0.1:2380"]))]
    initial_advertise_peer_urls: &'a [PeerUrl],
    /// `--initial-cluster`
    #[schema(example = "infra0=http://10.0.0.1:2380,infra1=http://10.0.0.2:2380")]
    initial_cluster: &'a str,
    /// `--initial-cluster-state`: `new` or `existing`.
    #[schema(example = "new")]
    initial_cluster_state: &'static str,
    /// `--initial-cluster-token`
    #[schema(example = "convene-0123456789abcdef-1")]
    initial_cluster_token: &'a str,
}

/// The endpoints of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Endpoints)]
struct EndpointsBody<'a> {
    /// etcd's cluster ID, if it is known. Prefer the answers of this cluster: another one may have the address of a former
    /// member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cdf818194e3a8c32")]
    cluster_id: Option<String>,
    /// The known client URLs.
    #[schema(value_type = Vec<String>)]
    client_urls: &'a [ClientUrl],
    /// The peer URLs. `GET /members` on a peer URL lists the members even without a quorum.
    #[schema(value_type = Vec<String>)]
    peer_urls: &'a [PeerUrl],
}

impl<'a> InstructionBody<'a> {
    /// The outcome of a check-in.
    pub fn new(checked_in: &'a CheckInOutcome) -> Self {
        let CheckInOutcome { instruction, cluster } = checked_in;
        let task = &instruction.task;
        let mut body = Self {
            instruction: task.as_str(),
            reason: ReasonWord(instruction.reason),
            message: &instruction.message,
            check_in_after_seconds: instruction.check_in_after.as_secs(),
            wait_seconds: None,
            revision: cluster.revision.0,
            epoch: cluster.epoch.0,
            member_id: None,
            peer_urls: None,
            learner: None,
            terms: task.terms().map(TermsBody::new),
            start: None,
            endpoints: None,
            remedy: None,
        };
        match task {
            Task::Observe(endpoints) => {
                let (client_urls, peer_urls) = (&endpoints.client_urls[..], &endpoints.peer_urls[..]);
                let cluster_id = endpoints.cluster.as_ref().map(ToString::to_string);
                body.endpoints = Some(EndpointsBody { cluster_id, client_urls, peer_urls });
            }
            Task::Bootstrap(start) => body.start = Some(StartBody::new(start, "new")),
            Task::Join(start) => body.start = Some(StartBody::new(start, "existing")),
            Task::Start(start) => body.start = start.as_ref().map(|start| StartBody::new(start, "existing")),
            Task::AddMember { peer_urls, learner, .. } => {
                body.peer_urls = Some(peer_urls);
                body.learner = Some(*learner);
            }
            Task::UpdateMember { member, peer_urls, .. } => {
                body.member_id = Some(MemberKey::as_str(member));
                body.peer_urls = Some(peer_urls);
            }
            Task::RemoveMember { member, .. } | Task::Promote { member, .. } | Task::Leave { member, .. } => {
                body.member_id = Some(member.as_str());
            }
            Task::Refuse { remedy } => body.remedy = Some(remedy),
            Task::Wait | Task::ArchiveData | Task::StandBy => {}
        }
        body
    }
}

impl InstructionBody<'_> {
    /// The response to the next check-in may be held, for this long at most.
    pub fn with_wait(self, most: Duration) -> Self {
        Self { wait_seconds: Some(self.check_in_after_seconds.min(most.as_secs())), ..self }
    }
}

impl TermsBody {
    fn new(terms: &Terms) -> Self {
        let expected =
            terms.expect.iter().map(|member| ExpectedBody { id: member.id.to_string(), learner: member.learner });
        Self {
            ticket: terms.ticket,
            act_within_seconds: terms.act_within.as_secs(),
            expect: expected.collect(),
            witnesses: terms.witnesses,
        }
    }
}

impl<'a> StartBody<'a> {
    fn new(start: &'a EtcdFlags, initial_cluster_state: &'static str) -> Self {
        Self {
            name: start.name.as_str(),
            initial_advertise_peer_urls: &start.peer_urls,
            initial_cluster: &start.initial_cluster,
            initial_cluster_state,
            initial_cluster_token: &start.initial_cluster_token,
        }
    }
}
