//! Why members that are to go are still there.

use std::collections::BTreeMap;

use super::{Clock, Overview, is_present};

/// What the nodes say while an eviction or a smaller size is not carried out: the names of nodes, and what these nodes report. `None` if
/// nothing waits, or if no node reports a reason.
pub fn waiting(overview: &Overview, clock: Clock) -> Option<String> {
    let cluster = &overview.cluster.value;
    let is_evicted = overview.members.iter().any(|member| !member.value.removed && member.value.evicted_at.is_some());
    let is_requested = is_evicted || cluster.voter_count > u64::from(cluster.size);
    if !is_requested || cluster.ticket.is_some() {
        return None;
    }
    let mut nodes_by_reason = BTreeMap::<&str, Vec<&str>>::new();
    for node in overview.nodes.iter().map(|node| &node.value).filter(|node| is_present(overview, node, clock)) {
        let reason = node.etcd.as_ref().and_then(|etcd| etcd.reason.as_deref());
        if let Some(reason) = reason.filter(|reason| is_obstacle(reason)) {
            nodes_by_reason.entry(reason).or_default().push(node.name.as_str());
        }
    }
    let reasons: Vec<_> =
        nodes_by_reason.iter().map(|(reason, nodes)| format!("{}: {reason}", nodes.join(", "))).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Whether a node reports something else than that all is well: a member with nothing to do, also while places are free, or a spare.
fn is_obstacle(reason: &str) -> bool {
    let is_member = reason == "nothing to do" || reason.ends_with("nodes with `convene` can join");
    !is_member && !reason.starts_with("standing by")
}
