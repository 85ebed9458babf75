use std::time::Duration;

use convene_etcd::Status;
use convene_lifecycle::{ClientUrl, Identity, PeerUrl, Role};

use crate::session::Session;

/// How long this node's own etcd may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How this node's own etcd answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With its status, at a client URL.
    Status(Status),
    /// At its peer URL only: it may serve clients at a URL that is not configured here, or reject this client.
    PeerPort {
        /// Its role.
        role: Role,
        /// Why it does not answer at its client URLs; `None` if it has none.
        why: Option<String>,
    },
}

impl Answer {
    /// Its role.
    pub fn role(&self) -> Role {
        match self {
            Self::Status(status) => role_of(status.learner),
            Self::PeerPort { role, .. } => *role,
        }
    }
}

/// The role of the etcd that runs on this node's data, or `None` if it does not answer.
pub async fn role(session: &Session, identity: Identity) -> Option<Role> {
    answer(session, identity).await.map(|answer| answer.role())
}

/// How the etcd answers that runs on this node's data, if it does. Another etcd at the same address does not count.
pub async fn answer(session: &Session, identity: Identity) -> Option<Answer> {
    let (client_urls, peer_urls) = addresses(session, identity).await;
    let is_own = |status: &Status| status.member == identity.member && status.cluster == identity.cluster;
    let mut why = None;
    for url in client_urls {
        let Ok(client) = session.connections.client(&url) else { continue };
        let found = match client.status(PROBE_TIMEOUT).await {
            Ok(status) if is_own(&status) => return Some(Answer::Status(status)),
            Ok(status) => format!("member {} of cluster {} answers at {url}", status.member, status.cluster),
            Err(error) => error.to_string(),
        };
        why.get_or_insert(found);
    }
    // The peer port needs no user.
    let peers = session.connections.peers();
    for url in peer_urls {
        if let Ok(Some(own)) = peers.member_running_as(&url, identity, PROBE_TIMEOUT).await {
            return Some(Answer::PeerPort { role: role_of(own.learner), why });
        }
    }
    None
}

/// The client URLs of the local etcd.
pub async fn client_urls(session: &Session, identity: Identity) -> Vec<ClientUrl> {
    addresses(session, identity).await.0
}

/// The URLs of the local etcd: those of the command line, or else those in the registry.
async fn addresses(session: &Session, identity: Identity) -> (Vec<ClientUrl>, Vec<PeerUrl>) {
    let node = &session.node;
    let (mut client_urls, mut peer_urls) = (node.client_urls.clone(), node.peer_urls.clone());
    if (client_urls.is_empty() || peer_urls.is_empty())
        && let Ok(Some(registered)) = session.registered(identity.member).await
    {
        if client_urls.is_empty() {
            client_urls = registered.client_urls;
        }
        if peer_urls.is_empty() {
            peer_urls = registered.peer_urls;
        }
    }
    if peer_urls.is_empty() {
        peer_urls = node.peer_urls_or_default();
    }
    if client_urls.is_empty() {
        client_urls = node.guessed_client_urls(&peer_urls);
    }
    (client_urls, peer_urls)
}

fn role_of(learner: bool) -> Role {
    if learner { Role::Learner } else { Role::Voter }
}
