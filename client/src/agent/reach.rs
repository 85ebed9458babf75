//! Which other members this node reaches: a gentle look at their ports with each check-in.

use std::time::Duration;

use convene_lifecycle::{Identity, Reachability};
use futures_util::future::join_all;

use crate::{connections::proves_alive, data_dir::KnownMember, session::Session};

/// How long a member may take to answer.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// How many members are looked at. The registry takes no more.
const MOST: usize = 64;

/// Which of the other members that the own etcd knows answer this node.
pub async fn look(session: &Session, own: Identity) -> Vec<Reachability> {
    let others = session.node.data.members().into_iter().filter(|member| member.id != own.member);
    join_all(others.take(MOST).map(|member| look_at(session, own, member))).await
}

async fn look_at(session: &Session, own: Identity, member: KnownMember) -> Reachability {
    let (peer, client) = tokio::join!(
        any(member.peer_urls.iter().map(async |url| {
            match session.connections.peers().members(url, TIMEOUT).await {
                Ok(list) => list.cluster == own.cluster,
                Err(error) => proves_alive(&error),
            }
        })),
        any(member.client_urls.iter().map(async |url| {
            let Ok(client) = session.connections.client(url) else { return false };
            match client.status(TIMEOUT).await {
                Ok(status) => status.member == member.id,
                Err(error) => proves_alive(&error),
            }
        }))
    );
    Reachability { member: member.id, peer, client }
}

/// Whether one of the looks succeeds; `None` if there is none.
async fn any(looks: impl Iterator<Item: Future<Output = bool>>) -> Option<bool> {
    let found = join_all(looks).await;
    (!found.is_empty()).then(|| found.contains(&true))
}
