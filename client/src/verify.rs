//! What this node verifies itself right before it acts, whatever the registry has instructed.
//!
//! The registry decides on reports, and a report may be wrong, old or forged. An act that would cost data or a quorum then
//! needs that this node has just seen its reason: see the rules of evidence in docs/architecture.md. A check that fails is a
//! [`Refusal`](crate::registry::Refusal). The node logs it, does not act, and reports it in its next check-in.
//!
//! - [`archive`]: the data is not that of a member which a cluster still lists.
//! - [`identity`]: no other process runs as this node's member.
//! - [`own`]: what an instruction says about this node is about this node, by its name and its peer URLs.
//! - [`quorum`]: the voters that answer this node can bear a removal.
//! - [`removal`]: a member that nobody asked to remove is dead, and one that gets other peer URLs does not run elsewhere.

pub mod archive;
pub mod identity;
pub mod own;
pub mod quorum;
pub mod removal;

use std::time::Duration;

use convene_etcd::MemberList;
use convene_lifecycle::PeerUrl;
use futures_util::future::join_all;

use crate::session::Session;

/// How long one etcd may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The member lists of the etcds that answer at these peer URLs, with the URL of each.
async fn peer_lists(session: &Session, urls: impl IntoIterator<Item = PeerUrl>) -> Vec<(PeerUrl, MemberList)> {
    let peers = session.connections.peers();
    let answers = distinct(urls).into_iter().map(|url| async move {
        let list = peers.members(&url, PROBE_TIMEOUT).await.ok()?;
        Some((url, list))
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// These URLs, each once. They have no order, because their text counts and its case does not.
fn distinct(urls: impl IntoIterator<Item = PeerUrl>) -> Vec<PeerUrl> {
    let mut distinct = Vec::new();
    for url in urls {
        if !distinct.contains(&url) {
            distinct.push(url);
        }
    }
    distinct
}
