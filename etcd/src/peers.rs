use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use convene_lifecycle::{ClusterId, PeerUrl};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    EtcdError, MemberList, Tls,
    classify::{CLOSED_ON_HTTP, connection_failed, connection_lost, describe, is_https},
    wire,
};

/// The largest member list that is read.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Reads member lists at peer URLs, as etcd nodes do among themselves: `GET PEER_URL/members`.
///
/// This needs neither a quorum nor a user, and learners answer too. The list may be stale.
#[derive(Clone, Debug)]
pub struct PeerClient {
    tls: Tls,
    /// Trusts only the configured CA, if any.
    own: Client,
    /// Trusts the CAs of the system. Created on demand, because clear text also works on a system without CAs.
    system: Arc<OnceLock<Client>>,
}

impl PeerClient {
    /// Creates a client for any number of peer URLs. Those with `http://` are called in clear text.
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        let own = build(tls.trust_own(builder())?, tls)?;
        Ok(Self { tls: tls.clone(), own, system: Arc::default() })
    }

    /// The member list as this member knows it.
    pub async fn members(&self, url: &PeerUrl, within: Duration) -> Result<MemberList, EtcdError> {
        timeout(within, self.list(url)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {within:?}");
            Err(EtcdError::TimedOut { endpoint: url.to_string(), reason })
        })
    }

    /// The HTTP client for a URL.
    fn client(&self, url: &PeerUrl) -> Result<&Client, EtcdError> {
        if self.tls.ca.is_some() || !is_https(url.as_str()) {
            return Ok(&self.own);
        }
        if let Some(system) = self.system.get() {
            return Ok(system);
        }
        let system = build(builder(), &self.tls)?;
        Ok(self.system.get_or_init(|| system))
    }

    async fn list(&self, url: &PeerUrl) -> Result<MemberList, EtcdError> {
        let failed = |error: reqwest::Error| from_http(url, &error);
        let bad = |reason: String| EtcdError::BadAnswer { endpoint: url.to_string(), reason };

        let answer = self.client(url)?.get(format!("{url}/members")).send().await.map_err(failed)?;
        let status = answer.status();
        let cluster = answer.headers().get("x-etcd-cluster-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let body = read(answer).await.map_err(failed)?.ok_or_else(|| bad("the member list is too long".to_owned()))?;
        if status != StatusCode::OK {
            let text: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
            return Err(bad(format!("{status} {text:?}")));
        }
        let cluster: ClusterId = cluster.ok_or_else(|| bad("the response has no X-Etcd-Cluster-Id".to_owned()))?;
        let members: Vec<Member> = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("the response is not a member list: {error}")))?;
        MemberList::read(url.as_str(), cluster, members.into_iter().map(wire::Member::from).collect())
    }
}

fn builder() -> ClientBuilder {
    // A proxy may not know the members' host names.
    Client::builder().no_proxy().http1_only().redirect(reqwest::redirect::Policy::none())
}

fn build(client: ClientBuilder, tls: &Tls) -> Result<Client, EtcdError> {
    tls.identify(client)?.build().map_err(|error| EtcdError::UnusableTls { reason: describe(&error) })
}

/// The body of a response, unless it is too long.
async fn read(mut answer: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_LIST_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
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

fn from_http(url: &PeerUrl, error: &reqwest::Error) -> EtcdError {
    // The outermost error only repeats the URL of the request.
    let cause = error.source().unwrap_or(error);
    let failed =
        if error.is_connect() { connection_failed(url.as_str(), cause) } else { connection_lost(url.as_str(), cause) };
    match failed {
        // A peer port with TLS closes a connection in clear text this way. A member that stops at this moment looks the same,
        // but the next call then finds no listener.
        EtcdError::ConnectionLost { endpoint, reason }
            if !is_https(&endpoint) && reason.contains("connection closed before message completed") =>
        {
            EtcdError::TlsFailed { endpoint, reason: CLOSED_ON_HTTP.to_owned() }
        }
        failed => failed,
    }
}
