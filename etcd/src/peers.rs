use std::time::Duration;

use convene_lifecycle::{ClusterId, Identity, PeerUrl};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde::Deserialize;

use crate::{
    EtcdError, ListedMember, MemberList, Tls,
    http::{Answer, HttpClient},
    wire,
};

/// The largest member list that is read.
const MAX_LIST_BYTES: usize = 1 << 20;

/// The largest answer to a request for a stream.
const MAX_REFUSAL_BYTES: usize = 1 << 12;

/// The version with which this client asks for a stream. Every etcd 3 accepts it
/// (`server/etcdserver/api/rafthttp/http.go:checkClusterCompatibilityFromHeader`).
const STREAM_VERSION: &str = "3.4.0";

/// Calls etcds at their peer URLs, as etcds do among themselves.
///
/// This needs neither a quorum nor a user, and learners answer too.
#[derive(Clone, Debug)]
pub struct PeerClient(HttpClient);

impl PeerClient {
    /// Creates a client for any number of peer URLs. Those with `http://` are called in clear text.
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        HttpClient::new(tls).map(Self)
    }

    /// Whether this URL is called at all. See [`Tls::clear_text`].
    pub fn calls(&self, url: &PeerUrl) -> bool {
        self.0.calls(url.as_str())
    }

    /// The member list as the etcd at a peer URL knows it, which may be stale: `GET PEER_URL/members`.
    pub async fn members(&self, url: &PeerUrl, within: Duration) -> Result<MemberList, EtcdError> {
        let bad = |reason: String| EtcdError::BadAnswer { endpoint: url.to_string(), reason };

        let Answer { headers, body, .. } = self.0.get(url.as_str(), "members", MAX_LIST_BYTES, within).await?;
        let cluster = headers.get("x-etcd-cluster-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let cluster: ClusterId = cluster.ok_or_else(|| bad("the response has no X-Etcd-Cluster-Id".to_owned()))?;
        let members: Vec<Member> = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("the response is not a member list: {error}")))?;
        MemberList::read(url.as_str(), cluster, members.into_iter().map(wire::Member::from).collect())
    }

    /// Whether the etcd at a peer URL runs as this member. See [`Self::member_running_as`].
    pub async fn runs_as(&self, url: &PeerUrl, own: Identity, within: Duration) -> Result<bool, EtcdError> {
        self.member_running_as(url, own, within).await.map(|member| member.is_some())
    }

    /// This member as the etcd at a peer URL lists it, if that etcd runs as the member. It answers even without a leader, when
    /// its client port does not. `within` is for each of two requests. [`EtcdError::Unidentified`] if that is not clear. An etcd
    /// that loads its log lists only the members that it has read so far, at first none (etcd 3.4).
    ///
    /// An etcd grants streams to the peers that it knows: to every member in its list except itself. This client asks in the
    /// name of the member, but for a stream to the member 0, which is never granted
    /// (`server/etcdserver/api/rafthttp/http.go:streamHandler.ServeHTTP`).
    pub async fn member_running_as(
        &self,
        url: &PeerUrl,
        own: Identity,
        within: Duration,
    ) -> Result<Option<ListedMember>, EtcdError> {
        let list = self.members(url, within).await?;
        if list.cluster != own.cluster {
            return Ok(None);
        }
        let listed = list.members.into_iter().find(|member| member.id == own.member);
        let unidentified =
            |reason: String| EtcdError::Unidentified { endpoint: url.to_string(), member: own.member, reason };
        let not_listed = || unidentified("it does not list that member; it may still be loading its log".to_owned());
        let listed = listed.ok_or_else(not_listed)?;
        let mut headers = HeaderMap::new();
        let cluster = HeaderValue::from_str(&own.cluster.to_string()).expect("an ID has hexadecimal digits only");
        headers.insert("x-etcd-cluster-id", cluster);
        headers.insert("x-raft-to", HeaderValue::from_static("0"));
        headers.insert("x-server-version", HeaderValue::from_static(STREAM_VERSION));
        headers.insert("x-min-cluster-version", HeaderValue::from_static(STREAM_VERSION));
        let path = format!("raft/stream/message/{}", own.member);
        let answer = self.0.get_any_status(url.as_str(), &path, headers, MAX_REFUSAL_BYTES, within).await?;
        let says = |text: &[u8]| answer.body.trim_ascii() == text;
        match answer.status {
            StatusCode::NOT_FOUND if says(b"error sender not found") => Ok(Some(listed)),
            StatusCode::PRECONDITION_FAILED if says(b"to field mismatch") => Ok(None),
            StatusCode::GONE => Ok(None),
            _ => Err(unidentified(answer.unexpected(url.as_str()).to_string())),
        }
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
