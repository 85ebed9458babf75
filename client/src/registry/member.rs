use convene_lifecycle::{Announcer, ClientUrl, MemberKey, MemberName, PeerUrl};
use serde::Deserialize;

use super::Verbatim;

/// The fields of a member that the client shows or uses.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// The ID as etcd prints it, or the key under which a v2 client has registered the member.
    pub id: MemberKey,
    /// Its name.
    pub name: MemberName,
    /// Its peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs.
    pub client_urls: Vec<ClientUrl>,
    /// `voter` or `learner`.
    pub role: String,
    /// Whether it was removed.
    pub removed: bool,
    /// When it last checked in or answered (RFC 3339).
    #[serde(rename = "heard_of_at")]
    pub last_seen_at: Option<String>,
    /// When its etcd last answered (RFC 3339).
    pub answered_at: Option<String>,
    /// Since when probes of it have failed (RFC 3339).
    pub unreachable_since: Option<String>,
    /// How often its etcd was started without an answer since it last answered.
    #[serde(default)]
    pub failed_starts: u32,
    /// When its eviction was requested (RFC 3339).
    pub evicted_at: Option<String>,
    /// Who can carry its eviction out; only in the answer to an eviction.
    pub carried_out_by: Option<Vec<MemberName>>,
    /// The end of its announced downtime (RFC 3339).
    pub downtime_until: Option<String>,
    /// Who announced it: `administrator` or `node`. `None` from a server of an earlier version.
    pub downtime_by: Option<String>,
}

impl Member {
    /// Whether its downtime is one that its own node announced.
    pub fn announced_its_downtime(&self) -> bool {
        self.downtime_by.as_deref() == Some(Announcer::Node.as_str())
    }
}

/// The members of a cluster.
#[derive(Debug, Deserialize)]
pub struct Members {
    /// The members, in the order in which they were added.
    pub members: Vec<Verbatim<Member>>,
}
