use convene_lifecycle::{
    ClusterId, ClusterName, JoinPolicy, MemberKey, MemberName, PublicId, StockWrites, Strategy, Token,
};
use serde::{Deserialize, Serialize};

use super::Verbatim;

/// The fields of a cluster that the client shows or uses. Words that are only shown are strings, so that the words of a
/// newer server are shown too.
#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
    /// Its public ID. An older server has no such field.
    #[serde(default)]
    pub id: Option<PublicName>,
    /// Its token, if the server shows it.
    #[serde(default, deserialize_with = "token")]
    pub token: Option<Token>,
    /// Its name, if it has one.
    pub name: Option<ClusterName>,
    /// How many voters it should have.
    pub size: u32,
    /// Counts its changes.
    pub revision: u64,
    /// When it was created (RFC 3339).
    pub created_at: String,
    /// `forming`, `formed` or `bootstrapped`.
    pub phase: String,
    /// Counts the attempts to form it.
    pub epoch: u32,
    /// The ID of the etcd cluster, once it is known.
    pub cluster_id: Option<ClusterId>,
    /// How many voters it has.
    pub voter_count: u64,
    /// How many learners it has.
    pub learner_count: u64,
    /// The settings that the planner follows.
    pub policy: Policy,
    /// The membership change under way.
    pub ticket: Option<Ticket>,
    /// How many voters the size requests to remove; only in the answer to a change, and not by an older server.
    pub surplus_voters: Option<u64>,
    /// Who can carry a change of the size out; only in the answer to a change.
    pub carried_out_by: Option<Vec<MemberName>>,
    /// Why nobody may found the cluster now. An older server has no such field.
    #[serde(default)]
    pub held: Option<Held>,
}

/// Why nobody may found a cluster: another one may exist.
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    /// Since when (RFC 3339).
    pub since: String,
    /// What shows that another cluster may exist: `data_reported`, …
    pub reason: String,
    /// The node that reported it.
    pub node: Option<MemberName>,
    /// The etcd cluster that may exist.
    pub cluster_id: Option<ClusterId>,
}

/// The settings that the planner follows.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    /// Which membership changes are allowed without a request.
    pub strategy: Strategy,
    /// The silence after which a member counts as dead.
    pub dead_after_seconds: u64,
    /// Whether nodes join as learners.
    pub learner: bool,
    /// How often a running node checks in.
    pub check_in_every_seconds: u64,
    /// Whether all membership changes are stopped.
    pub paused: bool,
    /// How many starts without an answer make a member failing.
    pub max_failed_starts: Option<u32>,
    /// How many witnesses a dead voter takes. A server of an earlier version asks for probes alone.
    #[serde(default = "one")]
    pub witnesses: u64,
    /// `refuse` or `allow`; an earlier server allows stock writes and does not send it.
    pub stock_writes: Option<String>,
    /// What a node must show when it checks in: `open`, `token` or `certificate`. An earlier server asks for nothing.
    #[serde(default = "open")]
    pub join: String,
}

fn open() -> String {
    "open".to_owned()
}

fn one() -> u64 {
    1
}

/// The lease for the one membership change that may be under way.
#[derive(Clone, Debug, Deserialize)]
pub struct Ticket {
    /// The fencing token: each ticket has a higher number than the one before.
    pub number: u64,
    /// The node that makes the change.
    pub holder: MemberName,
    /// The change: `join`, `remove`, …
    pub purpose: String,
    /// The member that the change is about.
    pub member_id: Option<MemberKey>,
    /// When the ticket was granted (RFC 3339).
    pub granted_at: String,
    /// When its change last progressed (RFC 3339).
    pub progress_at: Option<String>,
}

/// What the deletion of a cluster with its used token has changed.
#[derive(Debug, Deserialize)]
pub struct FreedToken {
    /// Whether there was a cluster.
    pub deleted: bool,
    /// Whether the token was used up.
    pub forgotten: bool,
    /// What to do before the token is used again; `None` if nothing has changed.
    pub warning: Option<String>,
}

/// A page of the list of clusters.
#[derive(Debug, Deserialize)]
pub struct ClusterPage {
    /// The clusters.
    pub clusters: Vec<Verbatim<Cluster>>,
    /// The `after` of the next page.
    pub next: Option<String>,
}

/// A cluster to be created. The server has a default for each field.
#[derive(Debug, Serialize)]
pub struct NewCluster<'a> {
    /// How many voters it should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a ClusterName>,
    /// Its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    /// Its policy.
    pub policy: PolicySettings,
}

/// Settings of a policy. Those that are `None` have the server's defaults in a new cluster, and do not change in another one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicySettings {
    /// Which membership changes are allowed without a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The silence after which a member counts as dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_after_seconds: Option<u64>,
    /// Whether nodes join as learners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner: Option<bool>,
    /// How often a running node checks in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_in_every_seconds: Option<u64>,
    /// How many failed starts make a member failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failed_starts: Option<u32>,
    /// How many witnesses a dead voter takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<u32>,
    /// Whether v2 and v3 clients may change the cluster after it has formed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_writes: Option<StockWrites>,
    /// What a node must show when it checks in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinPolicy>,
}

/// [`Token`] prints only a part of itself, so it has no JSON form of its own.
fn token<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Token>, D::Error> {
    let token = Option::<String>::deserialize(deserializer)?;
    token.map(|token| token.parse()).transpose().map_err(serde::de::Error::custom)
}

/// The public ID of a cluster, as the server writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicName(pub PublicId);

impl<'de> Deserialize<'de> for PublicName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Cluster {
    /// What people may see of its name: the ID, or the beginning of the token if an older server has no IDs.
    pub fn shown_id(&self) -> String {
        match (&self.id, &self.token) {
            (Some(PublicName(id)), _) => id.to_string(),
            (None, Some(token)) => token.to_string(),
            (None, None) => String::new(),
        }
    }
}
