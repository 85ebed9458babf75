use std::time::Duration;

use convene_etcd::Status;
use convene_lifecycle::{Identity, Role};

use crate::session::Session;

/// How long this node's own etcd may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What the etcd that runs on this node's data is; `None` if it does not answer. Somebody else's etcd at the same address
/// does not count.
pub async fn role(session: &Session, identity: Identity) -> Option<Role> {
    let is_own = |status: &Status| status.member == identity.member && status.cluster == identity.cluster;
    for url in session.node.own_endpoints() {
        let Ok(client) = session.endpoints.client(&url) else { continue };
        if let Ok(status) = client.status(ANSWER).await
            && is_own(&status)
        {
            return Some(word(status.learner));
        }
    }
    // It may answer clients elsewhere than this command was told, or not tell them; its peer port tells everybody.
    for url in session.node.peer_urls_or_etcds_own() {
        let Ok(list) = session.endpoints.peers().members(&url, ANSWER).await else { continue };
        let own = list.members.iter().find(|member| member.id == identity.member);
        if let Some(own) = own.filter(|_| list.cluster == identity.cluster) {
            return Some(word(own.learner));
        }
    }
    None
}

fn word(learner: bool) -> Role {
    if learner { Role::Learner } else { Role::Voter }
}
