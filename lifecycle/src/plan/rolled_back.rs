use std::sync::Arc;

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
};
use crate::{Member, View};

impl Planner<'_> {
    /// The decision for a member whose disk went back to an older copy: etcd starts on it without a word, and may then
    /// confirm an election or an entry that contradicts what the member has confirmed before. `None` if the member's data
    /// is not older than what it has applied, or if no other member shows that.
    ///
    /// If the cluster has a quorum without the member, the node replaces it. If not, a person decides. So does a person if only the
    /// node of one other voter has shown how far the member was: that may be false, and the data good.
    pub(super) fn replace_rolled_back(&mut self, own: &Arc<Member>) -> Option<Decision> {
        let last = self.report.data.last_index?;
        let (certain, shown) = (self.liveness.applied(own), self.liveness.shown_applied(&self.draft, own));
        let matched = self.report.view.as_ref().and_then(|view| matched_by_leader(view, own));
        let most = certain.max(shown.map(|(_, index)| index)).max(matched);
        if most.is_none_or(|applied| last >= applied) {
            return None;
        }
        let Some(view) = &self.report.view else { return Some(Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart))) };
        // The number could be of another cluster, or made up. A voter that has applied as much is proof.
        let is_proven = |applied: &u64| last < *applied && self.shows_index(view, own, *applied);
        let applied = match certain.filter(is_proven).or(matched.filter(|matched| last < *matched)) {
            Some(applied) => applied,
            // The member has confirmed to the leader no more than it has.
            None if matched.is_some_and(|matched| matched > 0) => return None,
            None => {
                let (witness, applied) = shown.filter(|(_, applied)| is_proven(applied))?;
                let witness =
                    self.draft.member(&witness.into()).map_or_else(String::new, |member| member.name().to_string());
                return Some(Err(Blocked::MayBeRolledBack { member: own.label(), last, applied, witness }));
            }
        };
        if let Err(blocked) = self.check_unheard(own, view) {
            return Some(Err(blocked));
        }
        let policy = self.draft.policy;
        let member = own.label();
        let refused = |member| Blocked::DataRolledBack {
            member,
            last,
            applied,
            strategy: policy.strategy,
            paused: policy.paused,
        };
        if policy.paused || !policy.strategy.removes_dead() {
            return Some(Err(refused(member)));
        }
        Some(match self.quorum_view() {
            Ok(view) => self
                .check_silent_elsewhere(own)
                .and_then(|()| self.remove_member(own, &view, Cause::DataRolledBack { member, last, applied })),
            // The others elect a leader within seconds.
            Err(blocked @ Blocked::NoLeader { .. }) => Err(blocked),
            Err(blocked) if blocked.needs_view() => Err(blocked),
            Err(_) => Err(refused(member)),
        })
    }

    /// Fails while the member may be alive at its listed peer URLs, if these are not this node's. Its data may have moved
    /// there, and this node may have the disk that it has left behind.
    fn check_silent_elsewhere(&self, own: &Member) -> Result<(), Blocked> {
        let silent_since = self.liveness.last_answer(own);
        let dead_at = silent_since.after(self.draft.policy.dead_after);
        if own.has_peer_urls(&self.report.peer_urls) || dead_at <= self.now {
            return Ok(());
        }
        Err(Blocked::NotDeadYet { member: own.label(), silent_since, dead_at, now: self.now })
    }

    /// Fails while the leader hears from the member, or may do so: then this node has a copy of its data, and the member runs elsewhere. Two
    /// looks show that. If nobody can read the leader's metrics, the node's own check before the removal decides.
    fn check_unheard(&self, own: &Arc<Member>, view: &View) -> Result<(), Blocked> {
        let has_leader = view.linearizable && view.leader.is_some();
        let observed = own.key.id().and_then(|id| view.observed(id));
        let is_counted = observed.is_some_and(|observed| observed.received_bytes.is_some());
        match self.liveness.is_heard(view.leader, own, self.now) {
            Some(false) => Ok(()),
            None if !has_leader || !is_counted => Ok(()),
            is_heard => Err(Blocked::CopyOfOlderData { member: own.label(), is_heard: is_heard == Some(true) }),
        }
    }

    /// Whether another voter has applied as much.
    fn shows_index(&self, view: &View, own: &Member, index: u64) -> bool {
        let is_other_voter = |member: &Member| member.is_voter() && member.key != own.key;
        view.cluster.is_some()
            && view.cluster == self.draft.cluster_id
            && view.members.iter().any(|observed| {
                let member = self.draft.member(&observed.id.into());
                observed.identified
                    && observed.applied_index.is_some_and(|applied| applied >= index)
                    && member.is_some_and(|member| is_other_voter(member))
            })
    }
}

/// How much of its log the member has confirmed to the leader, by the leader's own word to this node.
fn matched_by_leader(view: &View, own: &Member) -> Option<u64> {
    view.observed(own.key.id()?)?.matched_index
}
