use convene_lifecycle::{ClusterId, ClusterName, MemberKey, MemberName, Strategy, Token};
use serde::{Deserialize, Serialize};

use super::Sent;

/// A cluster, as far as it is shown. Words that are only shown are texts, so that those of a newer server are, too.
#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
    /// Its secret.
    #[serde(deserialize_with = "token")]
    pub token: Token,
    /// What administrators call it.
    pub name: Option<ClusterName>,
    /// How many voters it is to have.
    pub size: u32,
    /// Counts its changes.
    pub revision: u64,
    /// When it was made.
    pub created_at: String,
    /// How far it has come.
    pub phase: String,
    /// Counts its attempts to form.
    pub epoch: u32,
    /// What etcd calls it.
    pub cluster_id: Option<ClusterId>,
    /// How many members vote.
    pub voter_count: u64,
    /// How many members only learn.
    pub learner_count: u64,
    /// How it is looked after.
    pub policy: Policy,
    /// The change of membership under way.
    pub ticket: Option<Ticket>,
}

/// How a cluster is looked after.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    /// Which changes of membership may be made.
    pub strategy: Strategy,
    /// For how long nobody may have heard of a member.
    pub dead_after_seconds: u64,
    /// Whether nodes join as learners.
    pub learner: bool,
    /// How often a running node checks in.
    pub check_in_every_seconds: u64,
    /// Whether all changes of membership rest.
    pub paused: bool,
}

/// The one change of membership that may be under way.
#[derive(Clone, Debug, Deserialize)]
pub struct Ticket {
    /// Grows with every ticket.
    pub number: u64,
    /// The node that makes the change.
    pub holder: MemberName,
    /// What the change is.
    pub purpose: String,
    /// The member that it is about.
    pub member_id: Option<MemberKey>,
    /// Since when.
    pub granted_at: String,
}

/// Some clusters.
#[derive(Debug, Deserialize)]
pub struct ClusterPage {
    /// The clusters.
    pub clusters: Vec<Sent<Cluster>>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// A cluster that is to be made; what is left out is as the server has it.
#[derive(Debug, Serialize)]
pub struct NewCluster<'a> {
    /// How many voters it is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// What administrators call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a ClusterName>,
    /// A token of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    /// How it is to be looked after.
    pub policy: NewPolicy,
}

/// How a new cluster is to be looked after.
#[derive(Debug, Serialize)]
pub struct NewPolicy {
    /// Which changes of membership may be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// For how long nobody may have heard of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_after_seconds: Option<u64>,
    /// Whether nodes join as learners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learner: Option<bool>,
    /// How often a running node checks in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_in_every_seconds: Option<u64>,
}

/// A token shows only a part of itself wherever it is written, so that it has no form in JSON of its own.
fn token<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
