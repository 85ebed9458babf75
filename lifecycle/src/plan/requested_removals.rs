//! Removals that an administrator has requested: of evicted members, and of voters beyond the size. Any node with a quorum view
//! carries them out.

use std::sync::Arc;

use super::{Planner, blocked::Blocked, cause::Cause, quorum_view::QuorumView};
use crate::{Instruction, Member, MemberKey};

impl Planner<'_> {
    /// Removes a member as requested, if this node without data can do that now. Fails if the node has begun the removal, and
    /// has to wait until it has lost its ticket.
    pub(super) fn carry_out_removal(&mut self, view: &QuorumView<'_>) -> Result<Option<Instruction>, Blocked> {
        if !self.may_change_members() {
            return Ok(None);
        }
        let Some((member, cause)) = self.requested_removal(None, view) else { return Ok(None) };
        // A node that may not remove anybody for its own joining carries out an eviction only.
        if member.eviction.is_none() && !self.joining_strategy().removes_dead() {
            return Ok(None);
        }
        match self.remove_member(&member, view, cause) {
            Ok(instruction) => Ok(Some(instruction)),
            Err(blocked @ Blocked::StepOverdue { .. }) => Err(blocked),
            Err(_) => Ok(None),
        }
    }

    /// The next member to remove on request, unless its own node makes it leave. `own`: the member of this node, which removes
    /// itself.
    pub(super) fn requested_removal(
        &self,
        own: Option<&MemberKey>,
        view: &QuorumView<'_>,
    ) -> Option<(Arc<Member>, Cause)> {
        let is_evicted = |member: &&Arc<Member>| {
            member.eviction.is_some() && own != Some(&member.key) && !self.leaves_by_itself(member, view)
        };
        if let Some(evicted) = self.draft.members().find(is_evicted) {
            return Some((evicted.clone(), Cause::Evicted { member: evicted.label() }));
        }
        let surplus = self.surplus_voter(view)?;
        if !self.is_surplus_by_request(&surplus) {
            return Some((surplus.clone(), Cause::Dead { member: surplus.label() }));
        }
        if own != Some(&surplus.key) && self.leaves_by_itself(&surplus, view) {
            return None;
        }
        let cause = Cause::Shrink { member: surplus.label(), size: self.draft.size };
        Some((surplus, cause))
    }

    /// Whether a member's own node is alive, and so makes the member leave in order. A node that had the ticket and got nowhere
    /// does not.
    pub(super) fn leaves_by_itself(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        // This report is the latest of the node that has the member's name, and it shows no running etcd of this member.
        let is_namesake = *member.name() == self.report.name;
        let reports = self.liveness.reports_running(&self.draft.policy, member, self.now);
        view.is_up(member) && reports && !is_namesake && self.setback(member.name()).is_none()
    }

    /// The voter that goes first if there are more voters than the size: an evicted one before a dead one, a dead one
    /// before one that does not answer, that one before one that does not lead, and of these the newest. One that is alive goes
    /// only if an administrator has requested that by a smaller size.
    fn surplus_voter(&self, view: &QuorumView<'_>) -> Option<Arc<Member>> {
        let voters = self.draft.voters().count();
        if voters <= self.draft.size.get() as usize || !self.draft.policy.strategy.removes_dead() {
            return None;
        }
        let is_dead = |member: &Member| self.is_dead(member, view);
        let rank = |member: &&Arc<Member>| {
            (member.eviction.is_some(), is_dead(member), !view.is_up(member), !view.leads(member), member.created)
        };
        let may_go = |member: &&Arc<Member>| is_dead(member) || self.is_surplus_by_request(member);
        self.draft.voters().filter(may_go).max_by_key(rank).cloned()
    }

    /// Whether there were more voters than the size when it was last lowered, and a voter is one of them. The size requests no
    /// removal of voters that came later: an administrator has added those with other tools, or the registry's database has
    /// been restored from a copy with an older size. Nor does a size that was raised, even if the voters are more.
    fn is_surplus_by_request(&self, voter: &Member) -> bool {
        self.draft.is_older_than_lowered_size(voter) && self.draft.surplus_voters() > 0
    }
}
