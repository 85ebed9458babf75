use std::{borrow::Cow, sync::Arc};

use convene_lifecycle::{
    ClientUrl, ClusterId, DataEvidence, DiskId, Epoch, EtcdVersion, Identity, MAX_PEER_URLS, MemberId, MemberName,
    NodeRefusal, NodeState, ObservedMember, PeerUrl, Report, Revision, RunId, Strategy, View, is_invisible,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::status::{EtcdStatusBody, MAX_REACHABILITY, ReachabilityBody, node_status};
use crate::api::{
    body::{Count, Fields, Limits, List, Scalar, body, scalar, text},
    clusters::Size,
};

/// The most members of a view.
const MAX_OBSERVED: usize = 200;

body! {
    /// The state of a node, sent with each check-in. Unknown fields are ignored.
    #[body(name = "Report", unknown_fields = Ignored, check = require_identity_with_data)]
    pub struct ReportBody {
        /// etcd's `--name`.
        #[example = "infra0"]
        name: MemberName,
        /// Identifies one process of the node's client: a new random value each time that the client starts. The server
        /// needs it to distinguish a node that has lost its data from a node that has lost an answer.
        #[example = "0199f2c4b7a7"]
        run_id: Option<RunId>,
        /// Numbers the check-ins of a run; a repeated check-in keeps its number. The server drops a check-in that a later
        /// one has overtaken.
        #[example = 7]
        sequence: Option<Count>,
        /// Where other members reach the node (`--initial-advertise-peer-urls`).
        #[example = ["http://10.0.0.1:2380"]]
        peer_urls: List<PeerUrl, 1, MAX_PEER_URLS>,
        /// Where clients reach the node's etcd (`--advertise-client-urls`).
        #[example = ["http://10.0.0.1:2379"]]
        client_urls: List<ClientUrl, 0, MAX_PEER_URLS>,
        /// Which data the node has, and whether its etcd runs.
        state: StateWord,
        /// The member that the data belongs to. Required with `stopped`, `starting` and `running`.
        #[example = "8e9e05c52164694d"]
        member_id: Option<MemberId>,
        /// The etcd cluster that the data belongs to. Required with `stopped`, `starting` and `running`.
        #[example = "cdf818194e3a8c32"]
        cluster_id: Option<ClusterId>,
        /// With `stopped`: the index of the last entry in the WAL.
        #[example = 4711]
        last_index: Option<Count>,
        /// With `stopped`: whether the WAL has no entry of a leader, so that etcd has acknowledged nothing on this data.
        never_led: Option<bool>,
        /// The version of the node's etcd, if the node knows it.
        #[example = "3.6.5"]
        etcd_version: Option<EtcdVersion>,
        /// The last instruction that the node refused, because its own check contradicted it.
        refusal: Option<RefusalBody>,
        /// With `unreadable`: what the data directory contains, for people.
        found: Option<String>,
        /// With `empty`: whether the data directory has no WAL but a database that a member has used or that can't be
        /// read.
        leftover: Option<bool>,
        /// The former name of `leftover`.
        left_overs: Option<bool>,
        /// Identifies the place of the WAL, a filesystem and the path on it. It differs if a mount is missing or the disk is new. With it, the
        /// server distinguishes founders that have written nothing from founders whose data is elsewhere, and a lost disk from a missing mount.
        #[example = "9f3c1d0a5b7e2468"]
        disk_id: Option<DiskId>,
        /// What the node saw of the cluster, if it has observed it.
        view: Option<ViewBody>,
        /// What the node reports about its etcd, for people. Whether it leads also tells whose look at a learner counts.
        etcd: Option<EtcdStatusBody>,
        /// Which members the node reaches. What the node beside a running voter reaches, or does not, is evidence that a member is alive
        /// or dead, and that a learner answers at its peer URLs.
        reachability: List<ReachabilityBody, 0, MAX_REACHABILITY>,
        /// Consent, given on the node, to archive data of an earlier epoch: the number of the current epoch. Any other
        /// number is no consent.
        #[example = 2]
        accept_reset: Option<Count>,
        /// Whether the node wants to leave the cluster.
        leaving: Option<bool>,
        /// Whether the node wants to be refused instead of waiting as a spare.
        once: Option<bool>,
        /// Limits the membership changes that this node may make to join. The stricter of this strategy and the
        /// policy's applies.
        strategy: Option<Strategy>,
        /// The number of voters that the node wants the cluster to have, when the node looks for a place. A smaller cluster
        /// grows to this size. The node joins only while the cluster has fewer voters than this. At most the server's
        /// `--max-cluster-size`.
        #[example = 5]
        size: Option<Size>,
    }
}

body! {
    /// An instruction that a node refused.
    #[body(name = "Refusal", unknown_fields = Ignored)]
    pub struct RefusalBody {
        /// The name of the instruction.
        #[example = "archive_data"]
        instruction: String,
        /// What the node saw, for people.
        #[example = "member 8e9e05c52164694d is in the list of infra1"]
        found: String,
    }
}

body! {
    /// What a node saw when it observed the cluster.
    #[body(name = "View", unknown_fields = Ignored)]
    pub struct ViewBody {
        /// The revision of the last instruction that the node received before it began to observe.
        #[example = 7]
        since: Count,
        /// The etcd cluster that answered; null if none did.
        #[example = "cdf818194e3a8c32"]
        cluster_id: Option<ClusterId>,
        /// Whether the member list was read through the quorum.
        linearizable: bool,
        /// The leader; null if there is none or it is not known.
        #[example = "8e9e05c52164694d"]
        leader: Option<MemberId>,
        /// The leader's Raft term; null if unknown.
        #[example = 2]
        term: Option<Count>,
        /// The member list.
        members: List<ObservedMemberBody, 0, MAX_OBSERVED>,
    }
}

body! {
    /// A member as a node saw it.
    #[body(name = "ObservedMember", unknown_fields = Ignored)]
    pub struct ObservedMemberBody {
        /// The member's ID.
        #[example = "8e9e05c52164694d"]
        id: MemberId,
        /// The name; empty or null if the member has never started.
        #[example = "infra0"]
        name: Option<ObservedName>,
        /// The peer URLs.
        #[example = ["http://10.0.0.1:2380"]]
        peer_urls: List<PeerUrl, 1, MAX_PEER_URLS>,
        /// The client URLs; empty if the member has never started.
        #[example = ["http://10.0.0.1:2379"]]
        client_urls: List<ClientUrl, 0, MAX_PEER_URLS>,
        /// Whether the member is a learner.
        learner: Option<bool>,
        /// Whether an etcd of this cluster answered at one of the member's URLs just now.
        reachable: bool,
        /// Whether the etcd that answered reported this member's ID as its own. If absent: the value of `reachable`.
        identified: Option<bool>,
        /// How many bytes the leader has received from the member: the leader's metric
        /// `etcd_network_peer_received_bytes_total`.
        #[example = 41216]
        received_bytes: Option<Count>,
        /// How many round-trip times to the member's peer URLs the leader has recorded: the leader's metric
        /// `etcd_network_peer_round_trip_time_seconds_count`. 0 if `etcd_network_peer_round_trip_time_seconds_sum` is
        /// 0, because the leader has then never reached the peer URLs: the count also grows with each failed attempt.
        #[example = 17]
        round_trips: Option<Count>,
        /// The version of the member's etcd.
        #[example = "3.6.5"]
        version: Option<EtcdVersion>,
        /// The index of the last Raft log entry that the member has applied, from its status.
        #[example = 12]
        applied_index: Option<Count>,
        /// The index up to which the leader knows that the member has its log: `match` in `raft.status` of the leader's
        /// `/debug/vars`. 0 if the member has confirmed nothing to this leader.
        #[example = 12]
        matched_index: Option<Count>,
    }
}

/// Which data a node has, and whether its etcd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = NodeState)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// There is no WAL: etcd has never run here.
    Empty,
    /// There is data that can't be read.
    Unreadable,
    /// There is a member's data, and its etcd does not run.
    Stopped,
    /// etcd's process runs on a member's data, but does not answer yet.
    Starting,
    /// The etcd runs and answers.
    Running,
}

scalar!(StateWord, "one of empty, unreadable, stopped, starting and running", schema of StateWord);

/// A name in etcd's member list, which is empty for a member that has never started. It may have invisible characters, as etcd's
/// may: refusing it would end the maintenance of the other members.
#[derive(Debug)]
pub struct ObservedName(pub Option<MemberName>);

impl<'de> Deserialize<'de> for ObservedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|name| Self(Some(name))).map_err(D::Error::custom)
    }
}

impl Scalar for ObservedName {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "a name of at most 120 bytes as etcd's --name, or empty for a member that has never started".into()
    }

    fn fits(&self, _: &Limits) -> bool {
        self.0.as_ref().is_none_or(|name| name.as_str().len() <= 120)
    }

    fn schema() -> RefOr<Schema> {
        text().into()
    }
}

fn require_identity_with_data(fields: &mut Fields<'_, '_>) {
    if let Some(StateWord::Stopped | StateWord::Starting | StateWord::Running) = fields.peek("state") {
        fields.require::<MemberId>("member_id");
        fields.require::<ClusterId>("cluster_id");
    }
}

impl ReportBody {
    /// The report for the planner.
    pub fn into_report(self) -> Report {
        let identity = self.member_id.zip(self.cluster_id).map(|(member, cluster)| Identity { member, cluster });
        let state = match (self.state, identity) {
            (StateWord::Stopped, Some(identity)) => NodeState::Stopped(identity),
            (StateWord::Starting, Some(identity)) => NodeState::Starting(identity),
            (StateWord::Running, Some(identity)) => NodeState::Running(identity),
            (StateWord::Empty, _) => NodeState::Empty,
            // The check has made sure that data has an identity, so this is unreadable data.
            _ => {
                let found = self.found.unwrap_or_else(|| "not described".to_owned());
                NodeState::Unreadable { found: found.replace(is_invisible, " ") }
            }
        };
        Report {
            name: self.name,
            run: self.run_id.unwrap_or_else(RunId::unnamed),
            sequence: self.sequence.map_or(0, |Count(sequence)| sequence),
            peer_urls: self.peer_urls.0,
            client_urls: self.client_urls.0,
            state,
            data: DataEvidence {
                last_index: self.last_index.map(|Count(index)| index),
                never_led: self.never_led.unwrap_or(false),
            },
            etcd_version: self.etcd_version,
            refusal: self.refusal.map(|RefusalBody { instruction, found }| NodeRefusal { task: instruction, found }),
            leftover: self.leftover.or(self.left_overs).unwrap_or(false),
            disk: self.disk_id,
            view: self.view.map(ViewBody::into_view),
            status: node_status(self.etcd, self.reachability.0).map(Arc::new),
            accept_reset: self.accept_reset.and_then(|Count(epoch)| u32::try_from(epoch).ok()).map(Epoch),
            leaving: self.leaving.unwrap_or(false),
            once: self.once.unwrap_or(false),
            strategy: self.strategy,
            size: self.size.map(|Size(size)| size),
        }
    }
}

impl ViewBody {
    fn into_view(self) -> View {
        View {
            since: Revision(self.since.0),
            cluster: self.cluster_id,
            linearizable: self.linearizable,
            leader: self.leader,
            term: self.term.map(|Count(term)| term),
            members: self.members.0.into_iter().map(ObservedMemberBody::into_observed).collect(),
        }
    }
}

impl ObservedMemberBody {
    fn into_observed(self) -> ObservedMember {
        ObservedMember {
            id: self.id,
            name: self.name.and_then(|ObservedName(name)| name),
            peer_urls: self.peer_urls.0,
            client_urls: self.client_urls.0,
            learner: self.learner.unwrap_or(false),
            reachable: self.reachable,
            identified: self.identified.unwrap_or(self.reachable),
            received_bytes: self.received_bytes.map(|Count(bytes)| bytes),
            round_trips: self.round_trips.map(|Count(count)| count),
            version: self.version,
            applied_index: self.applied_index.map(|Count(index)| index),
            matched_index: self.matched_index.map(|Count(index)| index),
        }
    }
}
