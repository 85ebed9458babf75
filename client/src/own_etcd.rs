use std::time::Duration;

use convene_etcd::Status;
use convene_lifecycle::{ClientUrl, Identity, PeerUrl, Role};

use crate::session::Session;

/// How long this node's own etcd may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What the etcd that runs on this node's data is; `None` if it does not answer. Somebody else's etcd at the same address
/// does not count.
pub async fn role(session: &Session, identity: Identity) -> Option<Role> {
    let (client_urls, peer_urls) = places(session, identity).await;
    let is_own = |status: &Status| status.member == identity.member && status.cluster == identity.cluster;
    for url in client_urls {
        let Ok(client) = session.endpoints.client(&url) else { continue };
        if let Ok(status) = client.status(ANSWER).await
            && is_own(&status)
        {
            return Some(word(status.learner));
        }
    }
    // It may answer clients elsewhere than this command was told, or not tell them; its peer port tells everybody.
    for url in peer_urls {
        let Ok(list) = session.endpoints.peers().members(&url, ANSWER).await else { continue };
        let own = list.members.iter().find(|member| member.id == identity.member);
        if let Some(own) = own.filter(|_| list.cluster == identity.cluster) {
            return Some(word(own.learner));
        }
    }
    None
}

/// Where it answers clients and members: as this command was told, or else as the registry knows it.
async fn places(session: &Session, identity: Identity) -> (Vec<ClientUrl>, Vec<PeerUrl>) {
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
        peer_urls = node.peer_urls_or_etcds_own();
    }
    if client_urls.is_empty() {
        client_urls = node.guessed_endpoints(&peer_urls);
    }
    (client_urls, peer_urls)
}

fn word(learner: bool) -> Role {
    if learner { Role::Learner } else { Role::Voter }
}
