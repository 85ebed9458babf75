//! What a node wishes for its own joining, beside what the cluster's policy says.

use super::Planner;
use crate::{ClusterSize, MemberKey, Strategy};

impl Planner<'_> {
    /// The strategy of this node's own joining: the cluster's, or the node's if that is stricter.
    pub(super) fn joining_strategy(&self) -> Strategy {
        let strategy = self.draft.policy.strategy;
        self.report.strategy.map_or(strategy, |own| own.min(strategy))
    }

    /// Up to how many voters this node takes a place: the cluster's size, or the node's if that is smaller.
    pub(super) fn joining_size(&self) -> ClusterSize {
        let size = self.draft.size;
        self.report.size.map_or(size, |own| own.min(size))
    }

    /// Makes the cluster as large as this node wants it, never smaller. Only who looks for a place is asked: with nobody
    /// to take the places more of them would be of no use, and members that run must not undo what an administrator
    /// sets.
    pub(super) fn raise_size(&mut self) {
        let before = self.draft.size;
        if let Some(size) = self.report.size.filter(|size| *size > before) {
            let name = &self.report.name;
            let message = format!("the size is {size} from now on, after {before}: {name} wants to join one of {size}");
            self.draft.resize(size, message);
        }
    }

    /// Whether there are as many voters as this node joins for, not counting the one whose place it would take.
    pub(super) fn is_beyond_own_size(&self, replaces: Option<&MemberKey>) -> bool {
        let others = self.draft.voters().filter(|voter| Some(&voter.key) != replaces).count();
        self.report.size.is_some_and(|own| others >= own.get() as usize)
    }
}
