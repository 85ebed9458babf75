use std::time::Duration;

use convene_etcd::Status;
use convene_lifecycle::Identity;

use crate::session::Session;

/// How long this node's own etcd may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The status of the etcd that runs on this node's data; `None` if it does not answer. Somebody else's etcd at the same
/// address does not count.
pub async fn status(session: &Session, identity: Identity) -> Option<Status> {
    let is_own = |status: &Status| status.member == identity.member && status.cluster == identity.cluster;
    for url in session.node.own_endpoints() {
        let Ok(client) = session.endpoints.client(&url) else { continue };
        if let Ok(status) = client.status(ANSWER).await
            && is_own(&status)
        {
            return Some(status);
        }
    }
    // It may answer clients elsewhere than this command was told; then its own list says where.
    for url in &session.node.peer_urls {
        let Ok(list) = session.endpoints.peers().members(url, ANSWER).await else { continue };
        let own = list.members.iter().find(|member| member.id == identity.member)?;
        return session.endpoints.status_of(own, ANSWER).await.filter(is_own);
    }
    None
}
