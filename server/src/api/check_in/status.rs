//! What a node reports for people, besides what the planner needs.

use std::borrow::Cow;

use convene_lifecycle::{EtcdStatus, MemberId, NodeStatus, Reachability, is_invisible};
use serde::Deserialize;
use utoipa::openapi::{RefOr, Schema};

use crate::api::body::{Count, Limits, List, Scalar, body, text};

/// The most characters of a text.
const MAX_CHARACTERS: usize = 200;

/// The most errors of an etcd.
const MAX_ERRORS: usize = 8;

/// The most members that a node reports to reach or not.
pub const MAX_REACHABILITY: usize = 64;

body! {
    /// What a node reports about its etcd, for people. How far it has applied the log also tells later whether its disk went back. A missing
    /// field, or null: the node does not know it.
    #[body(name = "EtcdStatus", unknown_fields = Ignored)]
    pub struct EtcdStatusBody {
        /// The whole version.
        #[example = "3.6.5"]
        version: Option<ShortText>,
        /// The leader that it follows.
        #[example = "8e9e05c52164694d"]
        leader: Option<MemberId>,
        /// The index of the last Raft log entry that it has applied.
        #[example = 4711]
        raft_applied_index: Option<Count>,
        /// The size of its database file, in bytes.
        #[example = 25165824]
        database_bytes: Option<Count>,
        /// How much of the database file is in use, in bytes.
        #[example = 20971520]
        database_bytes_in_use: Option<Count>,
        /// The size of the database file at which etcd accepts no further writes, in bytes.
        #[example = 1073741824]
        quota_bytes: Option<Count>,
        /// Its alarms and other errors.
        #[example = ["NOSPACE"]]
        errors: List<ShortText, 0, MAX_ERRORS>,
        /// How often the node has started its process again.
        #[example = 0]
        restarts: Option<Count>,
        /// The state of the node's agent.
        #[example = "voter"]
        state: Option<ShortText>,
        /// Why the agent is in this state.
        #[example = "etcd runs as a voter"]
        reason: Option<ShortText>,
    }
}

body! {
    /// Whether a node reaches a member. A missing field, or null: the node has not tried.
    #[body(name = "Reachability", unknown_fields = Ignored)]
    pub struct ReachabilityBody {
        /// The member's ID.
        #[example = "8e9e05c52164694d"]
        member: MemberId,
        /// Whether the member answers at one of its peer URLs.
        peer: Option<bool>,
        /// Whether the member answers at one of its client URLs.
        client: Option<bool>,
    }
}

/// A text for people.
#[derive(Debug, Deserialize)]
struct ShortText(String);

impl Scalar for ShortText {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a text of at most {MAX_CHARACTERS} characters").into()
    }

    fn fits(&self, _: &Limits) -> bool {
        self.0.chars().count() <= MAX_CHARACTERS
    }

    fn schema() -> RefOr<Schema> {
        text().max_length(Some(MAX_CHARACTERS)).into()
    }
}

impl ShortText {
    fn into_line(self) -> String {
        self.0.replace(is_invisible, " ")
    }
}

/// The status of a node. `None` if it reports none.
pub fn node_status(etcd: Option<EtcdStatusBody>, reachability: Vec<ReachabilityBody>) -> Option<NodeStatus> {
    let is_reported = etcd.is_some() || !reachability.is_empty();
    is_reported.then(|| NodeStatus {
        etcd: etcd.map(EtcdStatusBody::into_status),
        reachability: reachability
            .into_iter()
            .map(|ReachabilityBody { member, peer, client }| Reachability { member, peer, client })
            .collect(),
    })
}

impl EtcdStatusBody {
    fn into_status(self) -> EtcdStatus {
        let number = |count: Option<Count>| count.map(|Count(number)| number);
        EtcdStatus {
            version: self.version.map(ShortText::into_line),
            leader: self.leader,
            raft_applied_index: number(self.raft_applied_index),
            database_bytes: number(self.database_bytes),
            database_bytes_in_use: number(self.database_bytes_in_use),
            quota_bytes: number(self.quota_bytes),
            errors: self.errors.0.into_iter().map(ShortText::into_line).collect(),
            restarts: number(self.restarts),
            state: self.state.map(ShortText::into_line),
            reason: self.reason.map(ShortText::into_line),
        }
    }
}
