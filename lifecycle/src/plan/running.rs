use std::sync::Arc;

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
    quorum_view::QuorumView,
};
use crate::{Identity, Instruction, Member, MemberKey, Reason, Strategy, Task};

impl Planner<'_> {
    /// A node whose etcd runs: it leaves, is promoted, updates its peer URLs, or maintains the other members.
    pub(super) fn handle_running(&mut self, identity: Identity) -> Decision {
        self.check_runs_here_only(identity)?;
        if self.draft.earlier_cluster_ids.contains(&identity.cluster) {
            return Err(self.runs_foreign_cluster(identity));
        }
        if self.draft.cluster_id.is_some_and(|own| own != identity.cluster) {
            // The ID on record may be wrong. A view may correct it.
            return Err(match self.report.view {
                None => Blocked::ViewNeeded(ViewNeeded::Decision),
                Some(_) => self.runs_foreign_cluster(identity),
            });
        }
        let key = MemberKey::from(identity.member);
        let Some(own) = self.draft.member(&key).cloned() else { return self.handle_unlisted_member(identity, &key) };
        self.confirm_cluster(identity);
        let not_updated = self.check_identity_while_running(&own)?;
        let own = self.reconcile_own_member(&own);
        self.release_done_or_stalled_ticket();
        if self.draft.policy.paused {
            return Err(Blocked::Paused);
        }
        // A node that has observed the cluster is answered from its view, because the view changes who counts as silent.
        if self.report.view.is_none() && !self.needs_view(&own) {
            return Ok(self.healthy());
        }
        let view = self.quorum_view()?;
        self.maintain_own_member(&own, &view, not_updated)
    }

    fn runs_foreign_cluster(&self, identity: Identity) -> Blocked {
        Blocked::RunsForeignCluster { found: identity.cluster, own: self.draft.cluster_id }
    }

    /// An etcd that the registry does not list: it is of a cluster that the registry has not seen yet, or its member was
    /// removed.
    fn handle_unlisted_member(&mut self, identity: Identity, key: &MemberKey) -> Decision {
        if self.draft.formed.is_none() {
            // The view of a quorum would have made this cluster the registry's.
            return Err(match (&self.report.view, &self.draft.held) {
                (None, _) => Blocked::ViewNeeded(ViewNeeded::Decision),
                (Some(view), Some(held)) if !view.linearizable => self.held(held),
                _ => self.runs_foreign_cluster(identity),
            });
        }
        // The registry has taken over every member of etcd's list by now, so a quorum view shows that this member was
        // removed.
        self.quorum_view()?;
        Ok(self.archive_removed_member(key))
    }

    /// Fails if another member has the node's name in etcd's list, or is at one of its peer URLs. If etcd only lists
    /// another member at such a URL, returns why this node's own peer URLs can't be updated now.
    fn check_identity_while_running(&self, own: &Member) -> Result<Option<Blocked>, Blocked> {
        let Some((conflict, other)) = self.identity_conflict(own) else { return Ok(None) };
        let is_real = self.is_real_conflict(&conflict, &other, &self.quorum_view()?);
        match conflict {
            Blocked::PeerUrlTaken { url, member } if !is_real => Ok(Some(Blocked::PeerUrlStillListed { url, member })),
            conflict => Err(conflict),
        }
    }

    fn healthy(&self) -> Instruction {
        let (voters, size) = (self.draft.voters().count(), self.draft.size);
        self.instruct(Task::Wait, Cause::Healthy { voters, size })
    }

    /// Whether the node has anything to do, or to watch, that needs a view of the cluster.
    fn needs_view(&self, own: &Member) -> bool {
        let policy = &self.draft.policy;
        let own_needs = self.may_be_renamed(own)
            || own.eviction.is_some()
            || self.report.leaving
            || !own.is_voter()
            || (own.founder.is_some() && !self.has_had_leader())
            || self.follows_nobody()
            || self.own_ticket().is_some()
            || (!own.has_peer_urls(&self.report.peer_urls) && self.may_change_members());
        let others = || self.draft.members().filter(|member| member.key != own.key);
        let others_need = || {
            others().any(|member| {
                member.eviction.is_some()
                    || !member.is_voter()
                    || self.liveness.silence(policy, member, self.now) >= policy.dead_after
            }) || self.draft.surplus_voters() > 0
        };
        let is_disputed = || self.liveness.is_disputed_by_others(&self.draft, &self.report.name, self.now);
        own_needs
            || is_disputed()
            || self.has_stalled_ticket()
            || (self.check_ticket_is_free().is_ok() && others_need())
    }

    /// Whether the node's etcd has answered that it knows no leader. An etcd that answers at its peer port only has no version here.
    fn follows_nobody(&self) -> bool {
        let etcd = self.report.status.iter().flat_map(|status| &status.etcd);
        etcd.filter(|etcd| etcd.version.is_some()).any(|etcd| etcd.leader.is_none())
    }

    /// Whether the node reports another name or other client URLs of its member than the registry knows. etcd's list decides.
    fn may_be_renamed(&self, own: &Member) -> bool {
        let (name, client_urls) = (&self.report.name, &self.report.client_urls);
        let is_known = |url| own.client_urls.contains(url);
        own.name() != name || (own.has_peer_urls(&self.report.peer_urls) && !client_urls.iter().all(is_known))
    }

    /// `not_updated` is why the node's own peer URLs can't be updated now.
    fn maintain_own_member(
        &mut self,
        own: &Arc<Member>,
        view: &QuorumView<'_>,
        mut not_updated: Option<Blocked>,
    ) -> Decision {
        if self.report.leaving {
            return self.remove_member(own, view, Cause::Leaving);
        }
        if self.may_change_members() {
            if own.eviction.is_some() {
                return self.remove_member(own, view, Cause::Evicted { member: own.label() });
            }
            if !own.has_peer_urls(&self.report.peer_urls) {
                match self.check_update_is_safe(own, view) {
                    Ok(()) if not_updated.is_none() => return self.update_peer_urls(own, view),
                    Ok(()) => {
                        if let Some(decision) = self.respell_peer_urls(own, view) {
                            return decision;
                        }
                    }
                    Err(blocked) => not_updated = Some(not_updated.unwrap_or(blocked)),
                }
            }
            if !own.is_voter() {
                return self.promote(own, view);
            }
        }
        self.check_ticket_is_free()?;
        let decision = self.maintain_others(own, view);
        let is_idle = |instruction: &Instruction| instruction.reason == Reason::Healthy;
        match not_updated {
            Some(blocked) if decision.as_ref().is_ok_and(is_idle) => Err(blocked),
            _ => decision,
        }
    }

    /// Promotes, removes or reports another member, if one needs it.
    fn maintain_others(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Decision {
        if !self.may_change_members() {
            return Ok(self.healthy());
        }
        let others: Vec<Arc<Member>> = self.draft.members().filter(|member| member.key != own.key).cloned().collect();
        if let Some(learner) = others.iter().find(|member| !member.is_voter()) {
            return self.maintain_learner(learner, view);
        }
        if let Some((member, cause)) = self.requested_removal(Some(&own.key), view) {
            return self.remove_member(&member, view, cause);
        }
        self.handle_dead(&others, view)
    }

    fn maintain_learner(&mut self, learner: &Arc<Member>, view: &QuorumView<'_>) -> Decision {
        if learner.eviction.is_some() {
            if self.leaves_by_itself(learner, view) {
                return Ok(self.healthy());
            }
            return self.remove_member(learner, view, Cause::Evicted { member: learner.label() });
        }
        if view.is_up(learner) {
            return self.promote(learner, view);
        }
        if !self.is_dead(learner, view) {
            return Err(self.not_dead_yet(learner, view));
        }
        match self.draft.policy.strategy {
            strategy if !strategy.removes_dead() => {
                Err(Blocked::DeadLearnerStays { learner: learner.label(), strategy })
            }
            _ => self.remove_member(learner, view, Cause::AbandonedLearner { learner: learner.label() }),
        }
    }

    fn handle_dead(&mut self, others: &[Arc<Member>], view: &QuorumView<'_>) -> Decision {
        let Some(down) = others.iter().find(|member| !view.is_up(member)) else { return Ok(self.healthy()) };
        let policy = self.draft.policy;
        let is_dead = |member: &Member| self.is_dead(member, view);
        let prunable = others
            .iter()
            .find(|member| is_dead(member) && self.may_prune(member, view))
            .filter(|_| policy.strategy == Strategy::Prune);
        match prunable {
            Some(dead) => self.remove_member(dead, view, Cause::Dead { member: dead.label() }),
            None if !is_dead(down) => Err(self.not_dead_yet(down, view)),
            None if policy.strategy.removes_dead() => Err(Blocked::DeadAwaitsSpare { member: down.label() }),
            None => Err(Blocked::DeadStays { member: down.label(), strategy: policy.strategy }),
        }
    }
}
