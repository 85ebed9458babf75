//! Which other members this node reaches: a gentle look at their ports with each check-in.

use convene_etcd::ListedMember;
use convene_lifecycle::{Identity, Reachability};
use futures_util::future::join_all;

use crate::{
    connections::Probe,
    data_dir::KnownMember,
    observe::{PROBE_TIMEOUT, PeerPort, probe_peer_port},
    session::Session,
};

/// How many members are looked at. The registry takes no more.
const MOST: usize = 64;

/// Which of the other members that the own etcd knows answer this node.
pub async fn look(session: &Session, own: Identity) -> Vec<Reachability> {
    let others = session.node.data.members().into_iter().filter(|member| member.id != own.member);
    join_all(others.take(MOST).map(|member| look_at(session, own, member))).await
}

async fn look_at(
    session: &Session,
    own: Identity,
    KnownMember { id, peer_urls, client_urls }: KnownMember,
) -> Reachability {
    // Neither the name nor the role matters here.
    let member = ListedMember { id, name: String::new(), peer_urls, client_urls, learner: false };
    let connections = &session.connections;
    let (peer_port, probe) =
        tokio::join!(probe_peer_port(connections, own.cluster, &member), connections.probe(&member, PROBE_TIMEOUT));
    let client = matches!(probe, Probe::Up(_) | Probe::Answers);
    Reachability {
        member: id,
        // A member that rejects this node rejects its etcd, too.
        peer: (!member.peer_urls.is_empty()).then_some(peer_port == PeerPort::Member),
        client: (!member.client_urls.is_empty()).then_some(client),
    }
}
