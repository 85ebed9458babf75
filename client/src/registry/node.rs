use convene_lifecycle::{EtcdStatus, MemberName, PeerUrl, Reachability};
use serde::Deserialize;

use super::Verbatim;

/// The fields of a node that the client shows or uses.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: MemberName,
    /// `empty`, `unreadable`, `stopped`, `starting` or `running`.
    pub state: String,
    /// The member that its data is of.
    pub member_id: Option<String>,
    /// The peer URLs that it reported.
    pub peer_urls: Vec<PeerUrl>,
    /// When it last checked in (RFC 3339).
    pub checked_in_at: String,
    /// When its client started, by its own clock (RFC 3339).
    pub run_started_at: Option<String>,
    /// What it reports about its etcd. `None` if it reports nothing, or from a server of an earlier version.
    #[serde(default)]
    pub etcd: Option<EtcdStatus>,
    /// Which members it reaches. Empty if it reports nothing, or from a server of an earlier version.
    #[serde(default)]
    pub reachability: Vec<Reachability>,
}

/// The nodes of a cluster.
#[derive(Debug, Deserialize)]
pub struct Nodes {
    /// The nodes, in the order of their names.
    pub nodes: Vec<Verbatim<Node>>,
}
