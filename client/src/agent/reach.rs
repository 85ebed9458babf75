//! Which other members this node reaches: a gentle look at their ports with each check-in.

use convene_etcd::ListedMember;
use convene_lifecycle::{ClusterId, Identity, PeerUrl, Reachability};
use futures_util::future::join_all;

use crate::{connections::Probe, data_dir::KnownMember, observe::PROBE_TIMEOUT, session::Session};

/// How many members are looked at. The registry takes no more.
const MOST: usize = 64;

/// Which of the other members that the own etcd knows answer this node.
pub async fn look(session: &Session, own: Identity) -> Vec<Reachability> {
    let others = session.stored_members().into_iter().filter(|member| member.id != own.member);
    join_all(others.take(MOST).map(|member| look_at(session, own.cluster, member))).await
}

async fn look_at(session: &Session, cluster: ClusterId, member: KnownMember) -> Reachability {
    let peer = join_all(member.peer_urls.iter().map(|url| answers_at(session, cluster, &member, url)));
    // Its name and its peer URLs do not matter here.
    let listed = ListedMember {
        id: member.id,
        name: String::new(),
        peer_urls: Vec::new(),
        client_urls: member.client_urls.clone(),
        learner: member.learner,
    };
    let (peer, probe) = tokio::join!(peer, session.connections.probe(&listed, PROBE_TIMEOUT));
    let client = matches!(probe, Probe::Up(_) | Probe::Answers);
    Reachability {
        member: member.id,
        peer: (!member.peer_urls.is_empty()).then_some(peer.contains(&true)),
        client: (!listed.client_urls.is_empty()).then_some(client),
    }
}

/// Whether a member answers at a peer URL and accepts this node, and so its etcd.
///
/// A learner must answer as itself: its URL may be that of another member by mistake, and then the learner can't become a voter. The
/// question leaves a warning in etcd's log, so voters are not asked it again and again.
async fn answers_at(session: &Session, cluster: ClusterId, member: &KnownMember, url: &PeerUrl) -> bool {
    let peers = session.connections.peers();
    match member.learner {
        true => peers.runs_as(url, Identity { member: member.id, cluster }, PROBE_TIMEOUT).await.unwrap_or(false),
        false => peers.members(url, PROBE_TIMEOUT).await.is_ok_and(|list| list.cluster == cluster),
    }
}
