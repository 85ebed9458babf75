use std::time::Duration;

use convene_lifecycle::{ClusterId, PeerUrl};
use serde::Deserialize;

use crate::{
    EtcdError, MemberList, Tls,
    http::{Answer, HttpClient},
    wire,
};

/// The largest member list that is read.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Reads member lists at peer URLs, as etcd nodes do among themselves: `GET PEER_URL/members`.
///
/// This needs neither a quorum nor a user, and learners answer too. The list may be stale.
#[derive(Clone, Debug)]
pub struct PeerClient(HttpClient);

impl PeerClient {
    /// Creates a client for any number of peer URLs. Those with `http://` are called in clear text.
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        HttpClient::new(tls).map(Self)
    }

    /// The member list as this member knows it.
    pub async fn members(&self, url: &PeerUrl, within: Duration) -> Result<MemberList, EtcdError> {
        let bad = |reason: String| EtcdError::BadAnswer { endpoint: url.to_string(), reason };

        let Answer { headers, body } = self.0.get(url.as_str(), "members", MAX_LIST_BYTES, within).await?;
        let cluster = headers.get("x-etcd-cluster-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let cluster: ClusterId = cluster.ok_or_else(|| bad("the response has no X-Etcd-Cluster-Id".to_owned()))?;
        let members: Vec<Member> = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("the response is not a member list: {error}")))?;
        MemberList::read(url.as_str(), cluster, members.into_iter().map(wire::Member::from).collect())
    }
}

/// A member in the JSON of the peer port. Empty fields are missing or null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    id: u64,
    name: Option<String>,
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
    is_learner: Option<bool>,
}

impl From<Member> for wire::Member {
    fn from(member: Member) -> Self {
        Self {
            id: member.id,
            name: member.name.unwrap_or_default(),
            peer_urls: member.peer_urls.unwrap_or_default(),
            client_urls: member.client_urls.unwrap_or_default(),
            is_learner: member.is_learner.unwrap_or_default(),
        }
    }
}
