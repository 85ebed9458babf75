use std::collections::BTreeSet;

use super::Overview;
use crate::registry::Member;

/// Warns of each member whose addresses don't fit together: etcd's list has the old peer URLs of a node that has moved.
pub fn warnings(overview: &Overview) -> Vec<String> {
    overview.members.iter().filter_map(|member| warning(overview, &member.value)).collect()
}

fn warning(overview: &Overview, member: &Member) -> Option<String> {
    let listed = joined(&member.peer_urls);
    if let Some(node) = overview.node_of(member)
        && !node.peer_urls.is_empty()
        && node.peer_urls.iter().all(|url| !member.peer_urls.contains(url))
    {
        return Some(format!(
            "{} now reports the peer URLs {}, but etcd's list has {listed}: its address has changed; {REMEDY}",
            member.name,
            joined(&node.peer_urls)
        ));
    }
    // Peers and clients may use different networks, so this says something only about a member that does not answer.
    if overview.view.is_none() || overview.observed(member).is_some_and(|observed| observed.reachable) {
        return None;
    }
    let (peers, clients) = (hosts(&member.peer_urls), hosts(&member.client_urls));
    (!clients.is_empty() && peers.is_disjoint(&clients)).then(|| {
        format!(
            "{} does not answer, and its peer URLs {listed} have another host than its client URLs {}: its address may have \
             changed; {REMEDY}",
            member.name,
            joined(&member.client_urls)
        )
    })
}

const REMEDY: &str = "`convene run` and `convene join` update etcd's list while the cluster has a quorum; without one, start \
                      enough members at their old addresses first";

fn hosts<T: ToString>(urls: &[T]) -> BTreeSet<String> {
    let host = |url: &T| url.to_string().parse::<url::Url>().ok()?.host_str().map(str::to_owned);
    urls.iter().filter_map(host).collect()
}

fn joined<T: ToString>(urls: &[T]) -> String {
    urls.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
