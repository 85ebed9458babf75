use std::time::Duration;

use super::{Clock, Overview};
use crate::registry::Node;

/// How long after its last check-in a node counts as present, at least. A waiting node checks in every few seconds.
const PRESENT: Duration = Duration::from_secs(15);

/// The nodes that check in again and again, and so watch the members: spares that wait, and agents on the node of a
/// running etcd.
pub fn observers(overview: &Overview, clock: Clock) -> impl Iterator<Item = &Node> {
    overview.nodes.iter().map(|node| &node.value).filter(move |node| is_observing(overview, node, clock))
}

/// Whether a node has just checked in, and so is there.
pub fn is_present(overview: &Overview, node: &Node, clock: Clock) -> bool {
    let every = Duration::from_secs(overview.cluster.value.policy.check_in_every_seconds);
    let present = if node.state == "running" { PRESENT.max(3 * every) } else { PRESENT };
    clock.since(&node.checked_in_at).is_some_and(|age| age <= present)
}

/// Whether a node watches the members.
fn is_observing(overview: &Overview, node: &Node, clock: Clock) -> bool {
    matches!(node.state.as_str(), "empty" | "running") && is_present(overview, node, clock)
}
