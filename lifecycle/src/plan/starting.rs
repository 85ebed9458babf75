use std::sync::Arc;

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
    quorum_view::QuorumView,
};
use crate::{EventKind, Identity, Instruction, Member, MemberKey, ObservedMember, Task, View, cluster::quorum_of};

impl Planner<'_> {
    /// A node with data whose etcd does not run.
    ///
    /// The data is archived only on what this node itself sees of the cluster. In doubt etcd starts: it checks its
    /// membership itself. It does not start on a copy of a member that runs elsewhere.
    pub(super) fn start_stopped(&mut self, identity: Identity) -> Decision {
        self.check_runs_here_only(identity)?;
        if self.draft.earlier_cluster_ids.contains(&identity.cluster) || self.has_data_of_failed_attempt(identity) {
            return self.handle_earlier_epoch();
        }
        if self.draft.cluster_id.is_some_and(|own| own != identity.cluster) {
            return self.handle_foreign_data(identity);
        }
        let key = MemberKey::from(identity.member);
        if let Some(own) = self.draft.member(&key).cloned() {
            return self.start_own_member(&own, identity);
        }
        if self.draft.formed.is_none() && !self.report.leaving {
            if self.report.view.is_none() {
                return Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart));
            }
            return Ok(self.instruct(Task::Start(None), Cause::UnknownMember));
        }
        match self.quorum_view() {
            Ok(_) => Ok(self.archive_removed_member(&key)),
            Err(blocked) if self.report.leaving || blocked.needs_view() => Err(blocked),
            Err(_) if self.was_given_up(&key) => Err(self.given_up_without_quorum(&key)),
            Err(_) => Ok(self.instruct(Task::Start(None), Cause::MembershipNotVisible)),
        }
    }

    /// Whether an administrator has given up the member. etcd knows nothing of that if a new cluster was forced
    /// (`--force-new-cluster`): on the data of members that were given up, etcds elect a leader among themselves.
    fn was_given_up(&self, key: &MemberKey) -> bool {
        self.draft
            .record
            .iter()
            .any(|member| member.key == *key && member.removed.is_some_and(|removal| removal.given_up))
    }

    fn given_up_without_quorum(&self, key: &MemberKey) -> Blocked {
        Blocked::GivenUp { member: key.clone(), present: self.draft.members().map(|member| member.label()).collect() }
    }

    /// A node whose etcd loads its data. It can do nothing but wait.
    pub(super) fn watch_start(&mut self, identity: Identity) -> Decision {
        let is_foreign = self.draft.cluster_id.is_some_and(|own| own != identity.cluster)
            || self.draft.earlier_cluster_ids.contains(&identity.cluster);
        if !is_foreign && self.draft.member(&identity.member.into()).is_some() {
            self.confirm_cluster(identity);
        }
        Ok(self.instruct(Task::Wait, Cause::Loading))
    }

    /// Whether the node has data of an earlier attempt to form the cluster that never had a leader.
    fn has_data_of_failed_attempt(&self, identity: Identity) -> bool {
        self.report.has_never_led_data() && self.is_of_given_up_attempt(identity)
    }

    /// Data from before a reset. An administrator has given up the cluster, but this data may be the only good copy. So it
    /// is archived only if nothing is lost with it, or with consent that was given on this node.
    fn handle_earlier_epoch(&mut self) -> Decision {
        if self.report.leaving {
            return Ok(self.instruct(Task::StandBy, Cause::LeftInEarlierEpoch));
        }
        let current = self.draft.epoch;
        let is_accepted = self.report.data.never_led || self.report.accept_reset == Some(current);
        let may_have_quorum = self.draft.cluster_id.is_some();
        if !is_accepted {
            match self.quorum_view() {
                Ok(_) => {}
                Err(blocked) if may_have_quorum && blocked.needs_view() => return Err(blocked),
                Err(_) => return Err(Blocked::EarlierEpoch { current }),
            }
        }
        Ok(self.instruct(Task::ArchiveData, Cause::EarlierEpoch { current }))
    }

    /// Data of another cluster than the registry's. The registry may have the wrong ID on record, or a backup was restored.
    /// Only a quorum of the registry's cluster, seen by this node, shows that the data is not needed.
    fn handle_foreign_data(&mut self, identity: Identity) -> Decision {
        let (found, Some(own)) = (identity.cluster, self.draft.cluster_id) else {
            return Err(Blocked::ViewNeeded(ViewNeeded::Decision));
        };
        if self.report.leaving {
            return Err(Blocked::LeavingForeignCluster { found, own });
        }
        match self.quorum_view() {
            Ok(_) => Ok(self.instruct(Task::ArchiveData, Cause::ForeignData { found, own })),
            Err(blocked) if blocked.needs_view() => Err(blocked),
            Err(_) => Ok(self.instruct(Task::Start(None), Cause::ForeignDataInDoubt { found, own })),
        }
    }

    /// Fails if the member of this node's data runs elsewhere. Raft allows one process per member.
    ///
    /// An answer with the member's ID proves it. Another node's check-in is hearsay, and this node may have moved since its
    /// own last one, so this node only waits then.
    pub(super) fn check_runs_here_only(&self, identity: Identity) -> Result<(), Blocked> {
        let view = self.report.view.as_ref().filter(|view| view.cluster == Some(identity.cluster));
        let observed = view.and_then(|view| view.observed(identity.member));
        let runs =
            |observed: &&ObservedMember| observed.identified || view.is_some_and(|view| is_needed(view, observed));
        if let Some(observed) = observed.filter(|observed| !self.report.is_running() && runs(observed)) {
            return Err(match self.report.leaving {
                true => Blocked::leaving_member_runs_elsewhere(observed),
                false => Blocked::answers_elsewhere(observed),
            });
        }
        let Some(other) = self.liveness.running_elsewhere(&self.draft.policy, self.report, self.now) else {
            return Ok(());
        };
        if self.report.view.is_none() {
            return Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart));
        }
        Err(Blocked::checks_in_elsewhere(identity.member, other, &self.draft.policy, self.now))
    }

    /// For data whose member was removed, as this node's quorum view shows. A node that leaves keeps its data: no other
    /// node needs the directory.
    pub(super) fn archive_removed_member(&self, key: &MemberKey) -> Instruction {
        match self.report.leaving {
            true => self.instruct(Task::StandBy, Cause::LeftAsMember { member: key.clone() }),
            false => self.instruct(Task::ArchiveData, Cause::RemovedMember { member: key.clone() }),
        }
    }

    fn start_own_member(&mut self, own: &Arc<Member>, identity: Identity) -> Decision {
        if let Some(decision) = self.restart_never_led(own, identity) {
            return decision;
        }
        let is_address_free = self.check_identity_before_start(own)?;
        // Data that has never had a leader does not show that the cluster exists.
        let reconciled = match self.report.has_never_led_data() && self.draft.bootstrapped.is_none() {
            true => own.clone(),
            false => {
                self.confirm_cluster(identity);
                self.reconcile_own_member(own)
            }
        };
        let own = &reconciled;
        self.release_done_or_stalled_ticket();
        if self.report.leaving {
            if self.draft.policy.paused {
                return Err(Blocked::Paused);
            }
            let view = self.quorum_view().map_err(|blocked| self.own_etcd_to_leave(own).unwrap_or(blocked))?;
            return self.remove_member(own, &view, Cause::Leaving);
        }
        if let Some(decision) = self.replace_rolled_back(own) {
            return decision;
        }
        if !own.has_peer_urls(&self.report.peer_urls) && self.may_change_members() && is_address_free {
            match self.quorum_view() {
                Ok(view) => return self.update_before_start(own, &view),
                Err(blocked) if blocked.needs_view() => return Err(blocked),
                // No member would find it at its new peer URLs, and the others elect a leader without it.
                Err(blocked) if self.others_can_elect(own) => return Err(blocked),
                Err(_) => {}
            }
        }
        if let Some(decision) = self.finish_own_removal(own) {
            return decision;
        }
        // The member may run elsewhere, or it may have been removed without the registry. A view shows that. A view that
        // shows no quorum does not keep the member from starting.
        if self.report.view.is_none() {
            return Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart));
        }
        let has_others = self.draft.members().any(|member| member.key != own.key);
        let obstacle = self.quorum_view().err().filter(|_| has_others).map(|blocked| blocked.explain().message);
        self.record_disk(own);
        let flags = self.etcd_flags(&own.key);
        Ok(self.instruct(Task::Start(Some(flags)), Cause::OwnData { member: own.key.clone(), obstacle }))
    }

    /// Records on which disk the member has its data, if it has been moved to another one. If that is missing at a start, the member has
    /// not lost it.
    fn record_disk(&mut self, own: &Arc<Member>) {
        let Some(disk) = self.report.disk.clone().filter(|disk| own.disk().is_some_and(|known| known != disk)) else {
            return;
        };
        // What a founder has on the disk of its instruction matters until the cluster has had a leader.
        if own.founder.is_some() && !self.has_had_leader() {
            return;
        }
        let message = format!("{} has its data on another disk now", own.name());
        self.draft.update(&own.key, EventKind::MemberUpdated, message, |member| member.set_disk(disk));
    }

    /// Whether no other member has this node's peer URLs in etcd's list. Fails if another member has its name there, or
    /// answers at its peer URLs.
    ///
    /// etcd's list decides, because other clients can write to the registry. Without a quorum the member starts, because
    /// the quorum may need it: etcd knows its members by their IDs. A member whose address another one has left behind
    /// starts as well, and is updated once etcd's list has the other one elsewhere.
    fn check_identity_before_start(&self, own: &Member) -> Result<bool, Blocked> {
        let Some((conflict, other)) = self.identity_conflict(own) else { return Ok(true) };
        match self.quorum_view() {
            Ok(view) if self.is_real_conflict(&conflict, &other, &view) => Err(conflict),
            Ok(_) => Ok(false),
            Err(blocked) if blocked.needs_view() => Err(blocked),
            Err(_) => Ok(false),
        }
    }

    /// Why a voter that was stopped can't leave, if its start would bring the quorum back.
    fn own_etcd_to_leave(&self, own: &Member) -> Option<Blocked> {
        let up = self.other_voters_that_answer(own)?;
        let (voters, needed) = (self.draft.voters().count(), self.draft.quorum());
        let is_needed = own.is_voter() && up + 1 == needed;
        is_needed.then_some(Blocked::LeavingNeedsOwnEtcd { voters, up, needed })
    }

    /// Leaves an event when the node starts its etcd although the start was in vain too often.
    pub(super) fn note_failing_member(&mut self, instruction: &Instruction) {
        let (Task::Start(_), Some(identity)) = (&instruction.task, self.report.identity()) else { return };
        let Some(own) = self.draft.member(&identity.member.into()).cloned() else { return };
        let policy = self.draft.policy;
        if self.liveness.begins_to_fail(&policy, &own, self.report, self.now) {
            let message = format!(
                "{} is failing: its etcd was started {} times, and each time did not answer, or ended within 10 s; a \
                 spare may replace it",
                own.name(),
                policy.max_failed_starts
            );
            self.draft.note(&own, EventKind::MemberFailing, message);
        }
    }

    /// The decision, if a ticket is about to remove the member. If an administrator has evicted it, the removal goes on.
    /// Otherwise this node waits, so that its member is not removed while it runs: until etcd's list shows the removal, or the
    /// ticket is taken away. The ticket of its own leave is released as idle. An earlier report with this node's name, that it
    /// leaves or has no data, is no reason to remove a member with data. `None` if the member starts: nothing is removed
    /// while there is no quorum, which may need this member, or while the cluster is paused.
    fn finish_own_removal(&mut self, own: &Arc<Member>) -> Option<Decision> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.purpose.removes() == Some(&own.key))?;
        let is_own = ticket.holder == self.report.name;
        if is_own && self.draft.policy.paused {
            return None;
        }
        let may_continue = is_own && own.eviction.is_some();
        match self.quorum_view() {
            Ok(view) if may_continue => Some(self.remove_member(own, &view, Cause::Evicted { member: own.label() })),
            Ok(_) => Some(Err(Blocked::BeingRemoved { member: own.label() })),
            Err(blocked) if blocked.needs_view() => Some(Err(blocked)),
            Err(_) => None,
        }
    }

    fn update_before_start(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Decision {
        self.check_ticket_is_free()?;
        self.update_peer_urls(own, view)
    }
}

/// Whether a member must run for the quorum that a view shows, even if the observing node does not reach it: it leads, or the
/// other voters are too few.
fn is_needed(view: &View, observed: &ObservedMember) -> bool {
    let voters = view.members.iter().filter(|member| !member.learner).count();
    let is_too_few_without = !observed.learner && voters <= quorum_of(voters);
    view.linearizable && (view.leader == Some(observed.id) || is_too_few_without)
}
