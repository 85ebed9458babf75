use std::borrow::Cow;

use convene_lifecycle::{
    ClientUrl, ClusterId, Identity, MAX_PEER_URLS, MemberId, MemberName, NodeState, ObservedMember, PeerUrl, Report,
    Revision, RunId, Strategy, View,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::{
    body::{Body, Count, Field, Fields, Limits},
    clusters::{Size, StrategyWord},
};

/// The most members of a view.
const MAX_SEEN: usize = 200;

/// What a node says when it checks in. Fields that the server does not know are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Report)]
pub struct ReportBody {
    /// What etcd calls `--name`.
    #[schema(value_type = String, min_length = 1, max_length = 120, pattern = r"^[^,=\x00-\x1f\x7f-\x9f]+$", example = "infra0")]
    name: MemberName,
    /// Drawn anew each time the node's client starts, so that a node that has lost its data is told from one whose
    /// answer got lost.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "0199f2c4b7a7")]
    run_id: Option<RunId>,
    /// Counts the check-ins of a run; one that is repeated keeps its number. A check-in that got stuck on its way is then
    /// known by the later one that came first, and nothing comes of it.
    #[schema(value_type = Option<i64>, minimum = 0, example = 7)]
    sequence: Option<Count>,
    /// Where other members reach the node (`--initial-advertise-peer-urls`).
    #[schema(value_type = Vec<Url>, min_items = 1, max_items = 16, example = json!(["http://10.0.0.1:2380"]))]
    peer_urls: Vec<PeerUrl>,
    /// Where clients reach the node's etcd (`--advertise-client-urls`).
    #[serde(default)]
    #[schema(value_type = Vec<Url>, max_items = 16, example = json!(["http://10.0.0.1:2379"]))]
    client_urls: Vec<ClientUrl>,
    /// What the node has, and whether its etcd runs.
    state: StateWord,
    /// The member whose data it is: with `stopped` and `running`.
    #[schema(value_type = Option<String>, pattern = "^[0-9A-Fa-f]{1,16}$", example = "8e9e05c52164694d")]
    member_id: Option<MemberId>,
    /// The etcd cluster whose data it is: with `stopped` and `running`.
    #[schema(value_type = Option<String>, pattern = "^[0-9A-Fa-f]{1,16}$", example = "cdf818194e3a8c32")]
    cluster_id: Option<ClusterId>,
    /// What was found: with `unreadable`.
    found: Option<String>,
    /// Whether there is no WAL, but a database that a member has used, or that can't be read: with `empty`.
    left_overs: Option<bool>,
    /// What the node sees of the cluster, if it has looked.
    view: Option<ViewBody>,
    /// Whether the node wants to leave the cluster.
    leaving: Option<bool>,
    /// Whether the node would rather be refused than wait as a spare.
    once: Option<bool>,
    /// What the node's own joining may change: the stricter of this and the policy's strategy counts.
    #[schema(value_type = Option<StrategyWord>)]
    strategy: Option<Strategy>,
    /// How many voters the cluster is to have in the node's eyes: a cluster that is smaller grows to it when the node
    /// looks for a place, and in one that is larger the node takes no place beyond it. At most what the server lets a
    /// cluster have (`--max-cluster-size`).
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 5)]
    size: Option<Size>,
}

/// What a node has, and whether its etcd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = NodeState)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// There is no WAL: etcd has never run here.
    Empty,
    /// There is data that can't be read.
    Unreadable,
    /// There is a member's data, and no etcd on it.
    Stopped,
    /// An etcd runs.
    Running,
}

/// What a node saw when it looked at the cluster.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = View)]
pub struct ViewBody {
    /// The revision of the last instruction that the node got before it began to look.
    #[schema(value_type = i64, minimum = 0, example = 7)]
    since: Count,
    /// The etcd cluster that answered; null if nobody did.
    #[schema(value_type = Option<String>, pattern = "^[0-9A-Fa-f]{1,16}$", example = "cdf818194e3a8c32")]
    cluster_id: Option<ClusterId>,
    /// Whether the list was read through the quorum.
    linearizable: bool,
    /// The member that leads; null if there is none or it is not known.
    #[schema(value_type = Option<String>, pattern = "^[0-9A-Fa-f]{1,16}$", example = "8e9e05c52164694d")]
    leader: Option<MemberId>,
    /// The members in the list.
    #[serde(default)]
    #[schema(max_items = 200)]
    members: Vec<SeenBody>,
}

/// A member as a node saw it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ObservedMember)]
pub struct SeenBody {
    /// Its ID.
    #[schema(value_type = String, pattern = "^[0-9A-Fa-f]{1,16}$", example = "8e9e05c52164694d")]
    id: MemberId,
    /// Its name; empty or null if it has never started.
    #[schema(value_type = Option<String>, example = "infra0")]
    name: Option<SeenName>,
    /// Its peer URLs.
    #[schema(value_type = Vec<Url>, min_items = 1, max_items = 16, example = json!(["http://10.0.0.1:2380"]))]
    peer_urls: Vec<PeerUrl>,
    /// Its client URLs; empty if it has never started.
    #[serde(default)]
    #[schema(value_type = Vec<Url>, max_items = 16, example = json!(["http://10.0.0.1:2379"]))]
    client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    learner: Option<bool>,
    /// Whether it answered just now.
    reachable: bool,
    /// How far it has applied the Raft log, as its status says.
    #[schema(value_type = Option<i64>, minimum = 0, example = 12)]
    applied_index: Option<Count>,
}

/// `http://HOST:PORT` or `https://HOST:PORT`, with a DNS name, an IPv4 address or an IPv6 address in brackets.
#[derive(ToSchema)]
#[schema(max_length = 255, pattern = "^[Hh][Tt][Tt][Pp][Ss]?://.+:[0-9]+$")]
#[expect(dead_code, reason = "it only describes")]
struct Url(String);

impl Body for ReportBody {
    const REFUSES_UNKNOWN: bool = false;

    fn check(fields: &mut Fields<'_>) {
        fields.required::<MemberName>("name");
        fields.optional::<RunId>("run_id");
        fields.optional::<Count>("sequence");
        fields.list::<PeerUrl>("peer_urls", 1..=MAX_PEER_URLS);
        fields.list::<ClientUrl>("client_urls", 0..=MAX_PEER_URLS);
        fields.required::<StateWord>("state");
        match fields.peek::<StateWord>("state") {
            Some(StateWord::Stopped | StateWord::Running) => {
                fields.required::<MemberId>("member_id");
                fields.required::<ClusterId>("cluster_id");
            }
            _ => {
                fields.optional::<MemberId>("member_id");
                fields.optional::<ClusterId>("cluster_id");
            }
        }
        fields.optional::<String>("found");
        fields.optional::<bool>("left_overs");
        fields.object::<ViewBody>("view");
        fields.optional::<bool>("leaving");
        fields.optional::<bool>("once");
        fields.optional::<Strategy>("strategy");
        fields.optional::<Size>("size");
    }
}

impl Body for ViewBody {
    const REFUSES_UNKNOWN: bool = false;

    fn check(fields: &mut Fields<'_>) {
        fields.required::<Count>("since");
        fields.optional::<ClusterId>("cluster_id");
        fields.required::<bool>("linearizable");
        fields.optional::<MemberId>("leader");
        fields.objects::<SeenBody>("members", MAX_SEEN);
    }
}

impl Body for SeenBody {
    const REFUSES_UNKNOWN: bool = false;

    fn check(fields: &mut Fields<'_>) {
        fields.required::<MemberId>("id");
        fields.optional::<SeenName>("name");
        fields.list::<PeerUrl>("peer_urls", 1..=MAX_PEER_URLS);
        fields.list::<ClientUrl>("client_urls", 0..=MAX_PEER_URLS);
        fields.optional::<bool>("learner");
        fields.required::<bool>("reachable");
        fields.optional::<Count>("applied_index");
    }
}

impl Field for StateWord {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "one of empty, unreadable, stopped and running".into()
    }
}

/// A name in etcd's list: empty for a member that has never started.
#[derive(Debug)]
struct SeenName(Option<MemberName>);

impl<'de> Deserialize<'de> for SeenName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|name| Self(Some(name))).map_err(serde::de::Error::custom)
    }
}

impl Field for SeenName {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "a name of at most 120 bytes as etcd's --name, or empty for a member that has never started".into()
    }

    fn fits(&self, _: &Limits) -> bool {
        self.0.as_ref().is_none_or(|name| name.as_str().len() <= 120)
    }
}

impl ReportBody {
    /// The report as the planner takes it.
    pub fn into_report(self) -> Report {
        let identity = self.member_id.zip(self.cluster_id).map(|(member, cluster)| Identity { member, cluster });
        let state = match (self.state, identity) {
            (StateWord::Stopped, Some(identity)) => NodeState::Stopped(identity),
            (StateWord::Running, Some(identity)) => NodeState::Running(identity),
            (StateWord::Empty, _) => NodeState::Empty,
            // That data has an owner is checked with the fields; should it have none, then it can't be read.
            _ => NodeState::Unreadable { found: self.found.unwrap_or_else(|| "nothing was said of it".to_owned()) },
        };
        Report {
            name: self.name,
            run: self.run_id.unwrap_or_else(RunId::unnamed),
            sequence: self.sequence.map_or(0, |Count(sequence)| sequence),
            peer_urls: self.peer_urls,
            client_urls: self.client_urls,
            state,
            leftover: self.left_overs.unwrap_or(false),
            view: self.view.map(ViewBody::into_view),
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
            members: self.members.into_iter().map(SeenBody::into_seen).collect(),
        }
    }
}

impl SeenBody {
    fn into_seen(self) -> ObservedMember {
        ObservedMember {
            id: self.id,
            name: self.name.and_then(|SeenName(name)| name),
            peer_urls: self.peer_urls,
            client_urls: self.client_urls,
            learner: self.learner.unwrap_or(false),
            reachable: self.reachable,
            applied_index: self.applied_index.map(|Count(index)| index),
        }
    }
}
