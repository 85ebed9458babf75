use std::sync::Arc;

use super::{Planner, quorum_view::QuorumView};
use crate::{Identity, Instruction, Member, MemberKey, Reason, Strategy};

impl Planner<'_> {
    /// A node whose etcd runs: it leaves, is promoted, follows its address, or does what the cluster needs.
    pub(super) fn handle_running(&mut self, identity: Identity) -> Instruction {
        if self.draft.cluster_id.is_some_and(|known| known != identity.cluster)
            || self.draft.earlier_cluster_ids.contains(&identity.cluster)
        {
            return self.refuse_foreign(identity);
        }
        let key = MemberKey::from(identity.member);
        let Some(own) = self.draft.member(&key).cloned() else { return self.handle_unlisted_member(identity, &key) };
        if let Some(refusal) = self.identity_conflict(&own) {
            return refusal;
        }
        self.confirm_cluster(identity);
        let own = self.reconcile_own_member(&own);
        self.release_ended_ticket();
        if self.draft.policy.paused {
            return self.paused();
        }
        // Whoever has looked is answered from what it saw, because what it saw changes who was heard of last.
        if self.report.view.is_none() && !self.needs_view(&own) {
            return self.healthy();
        }
        match self.quorum_view() {
            Ok(view) => self.maintain_own_member(&own, &view),
            Err(instruction) => *instruction,
        }
    }

    fn refuse_foreign(&self, identity: Identity) -> Instruction {
        let known = self.draft.cluster_id.map_or("another one".to_owned(), |known| known.to_string());
        let message = format!("the etcd that runs here is of cluster {}, and this one is {known}", identity.cluster);
        self.refuse(
            Reason::ForeignCluster,
            message,
            "stop it, and give this node an empty data directory or another token",
        )
    }

    /// An etcd that the registry does not list: of a cluster that it has not seen yet, or of a member that is gone.
    fn handle_unlisted_member(&mut self, identity: Identity, key: &MemberKey) -> Instruction {
        if self.draft.formed.is_none() && self.draft.members().next().is_some() {
            return self.refuse_foreign(identity);
        }
        let certain = self
            .draft
            .record
            .iter()
            .any(|member| member.key == *key && member.removed.is_some_and(|removal| removal.confirmed));
        // Whoever is in etcd's list has been taken over from it by now, so a look that stands shows that this one is gone.
        if !certain && let Err(instruction) = self.quorum_view() {
            return *instruction;
        }
        self.archive_removed_member(key)
    }

    fn healthy(&self) -> Instruction {
        let (voters, size) = (self.draft.voters().count(), self.draft.size);
        if voters < size.get() as usize {
            let message =
                format!("nothing to do here; {voters} of {size} voters are there, and nodes that check in may join");
            return self.wait(Reason::Healthy, message);
        }
        self.wait(Reason::Healthy, "nothing to do")
    }

    /// Whether anything has to be done or watched that takes a look at the cluster.
    fn needs_view(&self, own: &Member) -> bool {
        let policy = &self.draft.policy;
        let wants_change = own.eviction.is_some()
            || self.report.leaving
            || !own.is_voter()
            || self.own_ticket().is_some()
            || (!own.has_peer_urls(&self.report.peer_urls) && self.may_change_members());
        let others = || self.draft.members().filter(|member| member.key != own.key);
        let others_need = || {
            others().any(|member| {
                member.eviction.is_some()
                    || !member.is_voter()
                    || self.liveness.silence(member, self.now) >= policy.dead_after
            }) || self.draft.voters().count() > self.draft.size.get() as usize
        };
        wants_change || (self.ticket_held_by_other().is_none() && others_need())
    }

    fn maintain_own_member(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Instruction {
        if self.report.leaving {
            return self.remove_member(own, view, Reason::Leaving, "the node wants to leave");
        }
        if own.eviction.is_some() && self.may_change_members() {
            return self.remove_member(own, view, Reason::Evicted, "an administrator has evicted this member");
        }
        if !own.has_peer_urls(&self.report.peer_urls) && self.may_change_members() {
            return self.update_address(own, view);
        }
        if !own.is_voter() && self.may_change_members() {
            return self.promote(own, view);
        }
        if let Some(wait) = self.ticket_held_by_other() {
            return wait;
        }
        self.maintain_others(own, view)
    }

    /// Looks after the other members.
    fn maintain_others(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Instruction {
        if !self.may_change_members() {
            return self.healthy();
        }
        let others: Vec<Arc<Member>> = self.draft.members().filter(|member| member.key != own.key).cloned().collect();
        if let Some(learner) = others.iter().find(|member| !member.is_voter()) {
            return self.maintain_learner(learner, view);
        }
        if let Some(evicted) =
            others.iter().find(|member| member.eviction.is_some() && !self.leaves_by_itself(member, view))
        {
            let why = format!("an administrator has evicted {} ({})", evicted.name(), evicted.key);
            return self.remove_member(evicted, view, Reason::Evicted, &why);
        }
        if let Some(surplus) = self.surplus_voter(view)
            && (surplus.key == own.key || !self.leaves_by_itself(&surplus, view))
        {
            let why = format!("the size is {}, and {} ({}) is to go", self.draft.size, surplus.name(), surplus.key);
            return self.remove_member(&surplus, view, Reason::Shrink, &why);
        }
        self.handle_dead(&others, view)
    }

    fn maintain_learner(&mut self, learner: &Arc<Member>, view: &QuorumView<'_>) -> Instruction {
        if learner.eviction.is_some() {
            if self.leaves_by_itself(learner, view) {
                return self.healthy();
            }
            let why = format!("an administrator has evicted {} ({})", learner.name(), learner.key);
            return self.remove_member(learner, view, Reason::Evicted, &why);
        }
        if view.is_up(learner) {
            return self.promote(learner, view);
        }
        let removable = self.draft.policy.strategy.removes_dead();
        if removable && self.liveness.is_dead(&self.draft.policy, learner, self.now) {
            let why = format!("learner {} ({}) was given up by its node", learner.name(), learner.key);
            return self.remove_member(learner, view, Reason::AbandonedLearner, &why);
        }
        self.not_dead_yet(learner)
    }

    fn handle_dead(&mut self, others: &[Arc<Member>], view: &QuorumView<'_>) -> Instruction {
        let Some(down) = others.iter().find(|member| !view.is_up(member)) else { return self.healthy() };
        let policy = self.draft.policy;
        let dead = others.iter().find(|member| {
            !view.is_up(member) && self.liveness.is_dead(&policy, member, self.now) && self.may_prune(member, view)
        });
        match dead {
            Some(dead) if policy.strategy == Strategy::Prune => {
                let why = format!("{} ({}) is dead", dead.name(), dead.key);
                self.remove_member(dead, view, Reason::Dead, &why)
            }
            _ if self.liveness.is_dead(&policy, down, self.now) => {
                let message =
                    format!("{} ({}) is dead, and is replaced when a node is there for it", down.name(), down.key);
                self.wait(Reason::Dead, message)
            }
            _ => self.not_dead_yet(down),
        }
    }

    /// Whether a member's own node is there to make it leave in order.
    fn leaves_by_itself(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        view.is_up(member) && self.liveness.reports_running(&self.draft.policy, member, self.now)
    }

    /// The voter that goes next if there are more than the size: an evicted one, who goes anyway, before a dead one, that
    /// before one that does not answer, that before one that does not lead, and of these the newest.
    fn surplus_voter(&self, view: &QuorumView<'_>) -> Option<Arc<Member>> {
        let voters = self.draft.voters().count();
        if voters <= self.draft.size.get() as usize || !self.draft.policy.strategy.removes_dead() {
            return None;
        }
        let dead = |member: &Member| !view.is_up(member) && self.liveness.is_dead(&self.draft.policy, member, self.now);
        let rank = |member: &&Arc<Member>| {
            (member.eviction.is_some(), dead(member), !view.is_up(member), !view.leads(member), member.created)
        };
        self.draft.voters().max_by_key(rank).cloned()
    }
}
