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
    classify::{HUNG_UP_ON_HTTP, is_https, lost, no_connection, words},
    wire,
};

/// The most bytes of a list that are read.
const LIST_BYTES: usize = 1 << 20;

/// Asks etcds where their peers do: `GET PEER_URL/members`.
///
/// That needs neither a quorum nor a user, and learners answer too. So what it says may be old.
#[derive(Clone, Debug)]
pub struct PeerClient {
    tls: Tls,
    /// Trusts only the CA that we were given, if any.
    own: Client,
    /// Trusts whom the system trusts. Made when it is needed, because a system without CAs is fine for whoever asks
    /// in clear text.
    system: Arc<OnceLock<Client>>,
}

impl PeerClient {
    /// Makes a client for any number of peer URLs. Those with `http://` are asked in clear text.
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        let own = build(tls.trust_own(builder())?, tls)?;
        Ok(Self { tls: tls.clone(), own, system: Arc::default() })
    }

    /// Who is in the cluster as far as this member knows.
    pub async fn members(&self, url: &PeerUrl, within: Duration) -> Result<MemberList, EtcdError> {
        timeout(within, self.ask(url)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {within:?}");
            Err(EtcdError::TimedOut { endpoint: url.to_string(), reason })
        })
    }

    /// Whom a URL is asked with.
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

    async fn ask(&self, url: &PeerUrl) -> Result<MemberList, EtcdError> {
        let failed = |error: reqwest::Error| from_http(url, &error);
        let bad = |reason: String| EtcdError::BadAnswer { endpoint: url.to_string(), reason };

        let answer = self.client(url)?.get(format!("{url}/members")).send().await.map_err(failed)?;
        let status = answer.status();
        let cluster = answer.headers().get("x-etcd-cluster-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let body = read(answer).await.map_err(failed)?.ok_or_else(|| bad("its list is too long".to_owned()))?;
        if status != StatusCode::OK {
            let said: String = String::from_utf8_lossy(&body).trim().chars().take(200).collect();
            return Err(bad(format!("{status} {said:?}")));
        }
        let cluster: ClusterId = cluster.ok_or_else(|| bad("there is no X-Etcd-Cluster-Id".to_owned()))?;
        let members: Vec<Member> =
            serde_json::from_slice(&body).map_err(|error| bad(format!("it is no list of members: {error}")))?;
        MemberList::read(url.as_str(), cluster, members.into_iter().map(wire::Member::from).collect())
    }
}

fn builder() -> ClientBuilder {
    // A proxy would be asked for members by names that only their network knows.
    Client::builder().no_proxy().http1_only().redirect(reqwest::redirect::Policy::none())
}

fn build(client: ClientBuilder, tls: &Tls) -> Result<Client, EtcdError> {
    tls.identify(client)?.build().map_err(|error| EtcdError::UnusableTls { reason: words(&error) })
}

/// The body of an answer, unless it is too long.
async fn read(mut answer: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LIST_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// A member as the peers' endpoint writes it: what is empty is missing or null.
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
    // What the outermost error says is that there was a request, and its URL once more.
    let cause = error.source().unwrap_or(error);
    let failed = if error.is_connect() { no_connection(url.as_str(), cause) } else { lost(url.as_str(), cause) };
    match failed {
        // This is how etcd's port for members takes clear text if it has TLS. As a list is only read, it does not
        // matter that we can't tell it from a member that ends just then: the next time nobody is there.
        EtcdError::ConnectionLost { endpoint, reason }
            if !is_https(&endpoint) && reason.contains("connection closed before message completed") =>
        {
            EtcdError::TlsFailed { endpoint, reason: HUNG_UP_ON_HTTP.to_owned() }
        }
        failed => failed,
    }
}
