//! A node's own strategy and size, which hold for its own joining only.

use super::Planner;
use crate::{ClusterSize, MemberKey, StockWrites, Strategy};

impl Planner<'_> {
    /// The strategy for this node's own joining: the stricter of the cluster's and the node's.
    pub(super) fn joining_strategy(&self) -> Strategy {
        let strategy = self.draft.policy.strategy;
        self.report.strategy.map_or(strategy, |own| own.min(strategy))
    }

    /// Up to how many voters this node takes a place: the smaller of the cluster's size and the node's.
    pub(super) fn joining_size(&self) -> ClusterSize {
        let size = self.draft.size;
        self.report.size.map_or(size, |own| own.min(size))
    }

    /// Raises the cluster's size to the node's, if the policy lets whoever knows the discovery token change a formed cluster. It is
    /// never lowered, so this requests no removal, even if there are more voters.
    ///
    /// Only nodes that look for a place raise it: no other node could take the new places, and members that run must not
    /// undo an administrator's resize.
    pub(super) fn raise_size(&mut self) {
        let before = self.draft.size;
        if self.draft.policy.stock_writes == StockWrites::Refuse {
            return;
        }
        if let Some(size) = self.report.size.filter(|size| *size > before) {
            let message =
                format!("size raised from {before} to {size}: {} joins a cluster of {size}", self.report.name);
            self.draft.resize(size, message);
        }
    }

    /// Whether the cluster has as many voters as this node joins for, without the one that the node would replace.
    pub(super) fn is_beyond_own_size(&self, replaces: Option<&MemberKey>) -> bool {
        let others = self.draft.voters().filter(|voter| Some(&voter.key) != replaces).count();
        self.report.size.is_some_and(|own| others >= own.get() as usize)
    }
}
