use convene_lifecycle::{ClientUrl, MemberKey, MemberName, PeerUrl};
use serde::Deserialize;

use super::Sent;

/// A member, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Its ID as etcd prints it, or whatever else a v2 client has registered it under.
    pub id: MemberKey,
    /// Its name.
    pub name: MemberName,
    /// Where other members reach it.
    pub peer_urls: Vec<PeerUrl>,
    /// Where clients reach it.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it votes.
    pub role: String,
    /// Whether its etcd is known to have run.
    pub started: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// When it was last heard of.
    pub heard_of_at: Option<String>,
    /// Since when it is to be removed.
    pub evicted_at: Option<String>,
    /// Until when it may be down.
    pub downtime_until: Option<String>,
}

/// A cluster's members.
#[derive(Debug, Deserialize)]
pub struct Members {
    /// The members, in the order in which they came.
    pub members: Vec<Sent<Member>>,
}
