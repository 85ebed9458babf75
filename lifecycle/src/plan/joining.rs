use std::{sync::Arc, time::Duration};

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded, urls_of},
    cause::Cause,
    quorum_view::QuorumView,
};
use crate::{Announcer, DiskId, Instruction, Member, MemberKey, Purpose, Reason, StartIssued, Strategy, Task, Ticket};

/// How old the record of an instruction to join is when a repetition of it is recorded. Within [`StartIssued::START_WITHIN`] of
/// the last repetition no other run gets one, but for this time.
const ISSUED_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Planner<'_> {
    /// A node without data, after the cluster has formed: it takes a free place or that of a dead member, or it waits as
    /// a spare.
    pub(super) fn join_cluster(&mut self) -> Decision {
        if self.report.leaving {
            return self.leave_without_data();
        }
        if let Some(own) = self.own_member()
            && let Some(decision) = self.resume_forming(&own)
        {
            return decision;
        }
        if let Some(decision) = self.resume_moved_founder() {
            return decision;
        }
        let view = self.quorum_view().map_err(|blocked| self.founders_without_quorum().unwrap_or(blocked))?;
        self.check_no_other_run_starts(&view)?;
        if self.joining_strategy() == Strategy::Prepared {
            return self.join_as_prepared();
        }
        if let Some(ticket) = self.own_ticket()
            && matches!(ticket.purpose, Purpose::Join { .. })
            && let Some(instruction) = self.next_join_step(&ticket, &view)?
        {
            return Ok(instruction);
        }
        if self.draft.policy.paused {
            return Err(Blocked::Paused);
        }
        if let Some(removal) = self.carry_out_removal(&view)? {
            return Ok(removal);
        }
        if let Some(predecessor) = self.predecessor(&view) {
            return self.replace_predecessor(&predecessor, &view);
        }
        if self.own_member_was_evicted() {
            return Err(Blocked::Evicted);
        }
        self.find_place(&view)
    }

    /// A node without data that leaves removes its member, which can't run any more.
    fn leave_without_data(&mut self) -> Decision {
        let Some(own) = self.own_member() else {
            return self.leave_without_member();
        };
        if self.draft.policy.paused {
            return Err(Blocked::Paused);
        }
        let view = self.quorum_view()?;
        if view.is_up(&own) {
            return Err(Blocked::LeavingMemberAnswers { member: own.key.clone() });
        }
        self.remove_member(&own, &view, Cause::LeavingWithoutData)
    }

    /// No member has both the node's name and its peer URLs. A member that has one of them may be the one that should
    /// leave, if the data directory or the address was mistyped. Then the node has not left.
    fn leave_without_member(&self) -> Decision {
        let name = &self.report.name;
        let by_name = self
            .draft
            .members()
            .find(|member| member.name() == name)
            .map(|member| Blocked::LeavingNameElsewhere { name: name.clone(), member: member.key.clone() });
        let by_peer_url = || {
            self.draft.members().find_map(|member| {
                let url = member.shared_peer_url(&self.report.peer_urls)?.clone();
                Some(Blocked::LeavingPeerUrlElsewhere { url, member: member.label() })
            })
        };
        match by_name.or_else(by_peer_url) {
            None => Ok(self.instruct(Task::StandBy, Cause::LeftWithoutMember)),
            Some(_) if self.report.view.is_none() => Err(Blocked::ViewNeeded(ViewNeeded::BeforeLeaving)),
            Some(blocked) => Err(blocked),
        }
    }

    /// An administrator adds the member. The node waits for it, then starts as that member.
    fn join_as_prepared(&mut self) -> Decision {
        if self.own_ticket().is_some() {
            self.draft.release("the strategy allows its holder no changes");
        }
        let prepared = self.draft.members().find(|member| self.has_own_peer_urls(member) && !member.started).cloned();
        match prepared {
            Some(member) => self.start_as_added(&member.key),
            None => Err(Blocked::AwaitsAdministrator),
        }
    }

    /// Fails while another run may start etcd with this node's peer URLs, because it was instructed to join. It may be of another
    /// machine with a copy of this node's configuration. Nothing shows of it before its etcd runs.
    ///
    /// A removal of the member does not help: etcd takes the ID that its peer URLs have in the list when it starts, so it would
    /// start as the member that is added next. So the record of a removed member counts, too, unless it had started: then the run
    /// has done what it was instructed. A member that answers has started, and keeps this node out by itself.
    fn check_no_other_run_starts(&self, view: &QuorumView<'_>) -> Result<(), Blocked> {
        if self.draft.members().any(|member| self.has_own_peer_urls(member) && view.is_up(member)) {
            return Ok(());
        }
        let issued = self.draft.record.iter().filter(|member| self.is_issued_to_another_run(member));
        let may_start = |member: &&Arc<Member>| member.removed.is_none() || !member.started;
        let issued = issued.filter(|member| self.has_own_peer_urls(member)).filter(may_start);
        let issued = issued.filter_map(|member| Some((member, member.join_issued.as_ref()?.at)));
        match issued.max_by_key(|(_, at)| *at) {
            Some((member, at)) if self.age_of(at) < StartIssued::START_WITHIN => {
                let (member, urls) = (member.label(), urls_of(&self.report.peer_urls));
                let left = StartIssued::START_WITHIN.saturating_sub(self.age_of(at));
                Err(Blocked::JoinsElsewhere { member, urls, since: at, until: self.now.after(left), now: self.now })
            }
            _ => Ok(()),
        }
    }

    fn is_issued_to_another_run(&self, member: &Member) -> bool {
        member.join_issued.as_ref().is_some_and(|issued| issued.run != self.report.run)
    }

    /// Records the instruction to join for this run, unless it was just recorded. Founders have a record of their own.
    fn record_join_issued(&mut self, own: &MemberKey) {
        let Some(member) = self.draft.member(own).filter(|member| member.founder.is_none()) else { return };
        let is_recorded = member
            .join_issued
            .as_ref()
            .is_some_and(|issued| issued.run == self.report.run && self.age_of(issued.at) < ISSUED_AGAIN_AFTER);
        if !is_recorded {
            self.draft.record_join_issued(own, self.report);
        }
    }

    /// Starts etcd as a member that was added for this node, unless another etcd runs as that member.
    fn start_as_added(&mut self, own: &MemberKey) -> Decision {
        let observed = self.report.view.iter().flat_map(|view| &view.members);
        if let Some(other) = observed.filter(|seen| seen.identified).find(|seen| MemberKey::from(seen.id) == *own) {
            return Err(Blocked::answers_elsewhere(other));
        }
        self.record_join_issued(own);
        Ok(self.instruct(Task::Join(self.etcd_flags(own)), Cause::Added { member: own.clone() }))
    }

    /// A present member that has this node's name or one of its peer URLs: this node before it lost its data, or another
    /// node. If there are two, one that answers counts first, then one with this node's peer URLs.
    fn predecessor(&self, view: &QuorumView<'_>) -> Option<Arc<Member>> {
        let is_predecessor = |member: &&Arc<Member>| {
            *member.name() == self.report.name || member.shared_peer_url(&self.report.peer_urls).is_some()
        };
        let rank = |member: &&Arc<Member>| (view.is_up(member), self.has_own_peer_urls(member));
        self.draft.members().filter(is_predecessor).max_by_key(rank).cloned()
    }

    fn has_own_peer_urls(&self, member: &Member) -> bool {
        member.has_peer_urls(&self.report.peer_urls)
    }

    /// Whether a member was this node's before it lost its disk. Nothing else has the data then, so it need not be dead first. A node of
    /// another name may be another machine that has the member's address by mistake.
    fn is_lost_with_own_disk(&self, member: &Member) -> bool {
        let policy = &self.draft.policy;
        let is_own = *member.name() == self.report.name && self.has_own_peer_urls(member);
        is_own && !self.liveness.has_data_elsewhere(policy, member, self.report, self.now)
    }

    fn replace_predecessor(&mut self, predecessor: &Arc<Member>, view: &QuorumView<'_>) -> Decision {
        let has_own_peer_urls = self.has_own_peer_urls(predecessor);
        let is_elsewhere =
            !has_own_peer_urls && self.liveness.is_partitioned(&self.draft.policy, predecessor, self.now);
        if view.is_up(predecessor) || is_elsewhere {
            let conflict = self.name_conflict(predecessor).or_else(|| self.peer_url_conflict(predecessor));
            return Err(conflict.unwrap_or_else(|| Blocked::Partitioned { member: predecessor.label() }));
        }
        self.check_still_lives_here(predecessor)?;
        if predecessor.eviction.is_some() {
            return self.remove_member(predecessor, view, Cause::Evicted { member: predecessor.label() });
        }
        let is_issued_to_another_run = self.is_issued_to_another_run(predecessor);
        if has_own_peer_urls && !predecessor.is_voter() && !predecessor.started && !is_issued_to_another_run {
            // No run was instructed to start as this learner, or only this one, so this node can run as it.
            self.check_etcd_version(view)?;
            self.check_may_take_ticket(true)?;
            let purpose = Purpose::Join { peer_urls: self.report.peer_urls.clone(), replaces: None };
            self.take_ticket(purpose, "it was added before and has not started");
            return self.start_as_added(&predecessor.key);
        }
        self.check_disk_is_mounted(predecessor)?;
        let reason = if self.is_lost_with_own_disk(predecessor) {
            Reason::LostDisk
        } else if self.is_dead(predecessor, view) {
            Reason::Dead
        } else {
            return Err(self.not_dead_yet(predecessor, view));
        };
        self.begin_join(Some(predecessor), view, reason)
    }

    /// Fails if this node's member has got its data on another disk than the one that has none now: its mount may be missing. The node
    /// gives the member up if that lasts for `dead_after`, and not before the end of an administrator's downtime.
    fn check_disk_is_mounted(&self, member: &Member) -> Result<(), Blocked> {
        let node = self.liveness.nodes.get(&self.report.name);
        // No instruction is on record for a member that stock etcds have formed, or that was adopted.
        let last_disk = || {
            let (last, disk) = node?.data_disk.as_ref()?;
            (member.key == MemberKey::from(*last)).then_some(disk)
        };
        let is_other = |disk: &DiskId| self.report.disk.as_ref().is_some_and(|now| now != disk);
        if !member.disk().or_else(last_disk).is_some_and(is_other) || !self.has_own_peer_urls(member) {
            return Ok(());
        }
        let empty_since = node.and_then(|node| node.empty_since).unwrap_or(self.now);
        let downtime = member.downtime.filter(|downtime| downtime.by == Announcer::Administrator);
        let until = empty_since.after(self.draft.policy.dead_after).max(downtime.map_or(empty_since, |it| it.until));
        if until <= self.now {
            return Ok(());
        }
        Err(Blocked::OnOtherDisk { member: member.label(), until, now: self.now })
    }

    /// Fails if another node's member that etcd lists at this node's peer URL has moved: that node checks in with its data
    /// from elsewhere, so the disk is not lost.
    fn check_still_lives_here(&self, member: &Member) -> Result<(), Blocked> {
        let urls = &self.report.peer_urls;
        match member.shared_peer_url(urls).filter(|_| *member.name() != self.report.name) {
            Some(url) if self.liveness.has_moved_from(&self.draft.policy, member, urls, self.now) => {
                Err(Blocked::PeerUrlStillListed { url: url.clone(), member: member.label() })
            }
            _ => Ok(()),
        }
    }

    fn own_member_was_evicted(&self) -> bool {
        let former = self.draft.record.iter().filter(|member| *member.name() == self.report.name);
        let last = former.max_by_key(|member| member.removed.map(|removal| removal.at));
        last.is_some_and(|member| member.removed.is_some() && member.eviction.is_some())
    }

    fn find_place(&mut self, view: &QuorumView<'_>) -> Decision {
        self.raise_size();
        let strategy = self.joining_strategy();
        let (voters, size) = (self.draft.voters().count(), self.joining_size().get() as usize);
        let learner = self.draft.members().find(|member| !member.is_voter()).cloned();
        if let Some(learner) = learner {
            return self.wait_for_learner(&learner, view, voters + 1 >= size);
        }
        self.check_etcd_version(view)?;
        // While there is a free place, a voter that the leader hears counts as up, although this node does not reach it.
        let is_heard = |voter: &Arc<Member>| voters < size && self.is_connected(voter, view);
        let is_down = |voter: &&Arc<Member>| !view.is_up(voter) && !is_heard(voter);
        let down: Vec<Arc<Member>> = self.draft.voters().filter(is_down).cloned().collect();
        let dead = down.iter().find(|voter| self.is_dead(voter, view)).cloned();
        if voters > size {
            return Err(self.full());
        }
        match (dead, down.first()) {
            (Some(dead), _) if strategy.removes_dead() => self.begin_join(Some(&dead), view, Reason::Dead),
            (_, Some(down)) if strategy.removes_dead() && (voters >= size || self.may_die_soon(down, view)) => {
                Err(self.not_dead_yet(down, view))
            }
            _ if voters < size => self.begin_join(None, view, Reason::BelowSize),
            (_, Some(down)) => Err(Blocked::StrategyRemovesNobody { member: down.label(), strategy }),
            _ => Err(self.full()),
        }
    }

    /// Whether a member that is down will count as dead at a known time if it stays silent. A node that waits for that can take its
    /// place. Nothing else is worth waiting for while there is a free place: a learner does not change the quorum.
    fn may_die_soon(&self, down: &Member, view: &QuorumView<'_>) -> bool {
        matches!(self.not_dead_yet(down, view), Blocked::NotDeadYet { .. } | Blocked::Failing { .. })
    }

    /// etcd takes one learner at a time, so another node's learner comes first. This node promotes it if no other node
    /// does, because the learner's own client may have exited after it started etcd.
    fn wait_for_learner(&mut self, learner: &Arc<Member>, view: &QuorumView<'_>, is_enough: bool) -> Decision {
        let (is_up, is_free) = (view.is_up(learner), self.check_may_take_ticket(false).is_ok());
        let is_gone = self.is_abandoned(learner, view) || self.is_dead(learner, view);
        if is_free && self.is_out_of_reach(learner, view) && self.joining_strategy().removes_dead() {
            return self.remove_member(learner, view, Cause::LearnerOutOfReach { learner: learner.label() });
        }
        if is_free && is_gone && self.joining_strategy().removes_dead() {
            return self.remove_member(learner, view, Cause::AbandonedLearner { learner: learner.label() });
        }
        // Members decide whether a learner that answers is one too many, unless its own node has tried to remove it in vain. This
        // node wants a place itself.
        let is_wanted = self.draft.voters().count() < self.draft.size.get() as usize;
        let is_left_over = || self.setback(learner.name()).is_some() && self.joining_strategy().removes_dead();
        if is_free && is_up && learner.eviction.is_none() && (is_wanted || is_left_over()) {
            match self.promote(learner, view) {
                // It must not give the ticket back before the ticket is taken away, or it would get the next one, too.
                Err(blocked) if is_enough && !matches!(blocked, Blocked::StepOverdue { .. }) => {}
                decision => return decision,
            }
        }
        if is_enough && is_up {
            return Err(self.full());
        }
        self.check_may_take_ticket(false)?;
        Err(Blocked::LearnerPresent { learner: learner.label() })
    }

    pub(super) fn full(&self) -> Blocked {
        Blocked::Full {
            size: self.draft.size,
            own_size: self.report.size,
            voters: self.draft.voters().count(),
            once: self.report.once,
        }
    }

    /// Takes the ticket and makes the first step.
    fn begin_join(&mut self, replaces: Option<&Arc<Member>>, view: &QuorumView<'_>, reason: Reason) -> Decision {
        if self.is_beyond_own_size(replaces.map(|member| &member.key)) {
            return Err(self.full());
        }
        self.check_etcd_version(view)?;
        self.check_may_take_ticket(reason == Reason::LostDisk)?;
        if let Some(member) = replaces {
            let strategy = self.joining_strategy();
            if !strategy.removes_dead() {
                return Err(Blocked::StrategyRemovesNobody { member: member.label(), strategy });
            }
            self.check_quorum_without(member, view)?;
        }
        let why = match replaces {
            Some(member) => format!("it takes the place of {} ({reason})", member.label()),
            None => format!("it takes a free place ({reason})"),
        };
        let replaces = replaces.map(|member| member.key.clone());
        let purpose = Purpose::Join { peer_urls: self.report.peer_urls.clone(), replaces };
        let ticket = self.take_ticket(purpose, &why);
        self.next_join_step(&ticket, view)?.ok_or_else(|| self.full())
    }

    /// The next step of a node that joins, from etcd's present state. `None` if it has no place any more; the ticket is
    /// released then.
    fn next_join_step(&mut self, ticket: &Ticket, view: &QuorumView<'_>) -> Result<Option<Instruction>, Blocked> {
        let Purpose::Join { peer_urls, replaces } = &ticket.purpose else { return Ok(None) };
        if *peer_urls != self.report.peer_urls {
            self.draft.release("its holder has other peer URLs now");
            return Ok(None);
        }
        let is_replaced = |member: &Member| replaces.as_ref() == Some(&member.key);
        let added = self.draft.members().find(|member| self.has_own_peer_urls(member) && !is_replaced(member)).cloned();
        if let Some(added) = added {
            if added.started {
                self.draft.release("its holder has lost its data again");
                return Ok(None);
            }
            if self.is_issued_to_another_run(&added) {
                // That run may have started etcd where nobody sees it. So this one joins as another member.
                self.draft.release("another run was instructed to join as its member");
                return Ok(None);
            }
            return Ok(Some(self.start_as_added(&added.key)?));
        }
        if self.draft.policy.paused {
            return Err(Blocked::Paused);
        }
        if self.is_beyond_own_size(replaces.as_ref()) {
            self.draft.release("the cluster has reached the holder's own size");
            return Ok(None);
        }
        let replaced = replaces.as_ref().and_then(|key| self.draft.member(key)).cloned();
        match replaced {
            Some(replaced) => self.remove_replaced_member(ticket, &replaced, view),
            None => self.add_own_member(ticket, view),
        }
    }

    fn remove_replaced_member(
        &mut self,
        ticket: &Ticket,
        replaced: &Member,
        view: &QuorumView<'_>,
    ) -> Result<Option<Instruction>, Blocked> {
        if !self.joining_strategy().removes_dead() {
            self.draft.release("the strategy removes no members any more");
            return Ok(None);
        }
        if view.is_up(replaced) {
            self.draft.release("the member to replace answers again");
            return Ok(None);
        }
        let is_lost_with_own_disk = self.is_lost_with_own_disk(replaced);
        if !is_lost_with_own_disk && !self.is_dead(replaced, view) {
            self.draft.release("the member to replace is not dead any more");
            return Ok(None);
        }
        self.check_still_lives_here(replaced)?;
        self.check_quorum_without(replaced, view)?;
        let cause = match is_lost_with_own_disk {
            true => Cause::LostDisk { member: replaced.label() },
            false => Cause::ReplacesDead { member: replaced.label() },
        };
        let task = Task::RemoveMember { member: replaced.key.clone(), terms: self.terms(ticket)? };
        Ok(Some(self.instruct(task, cause)))
    }

    fn add_own_member(&mut self, ticket: &Ticket, view: &QuorumView<'_>) -> Result<Option<Instruction>, Blocked> {
        if self.own_member_was_evicted() {
            self.draft.release("its holder was evicted");
            return Ok(None);
        }
        if self.draft.members().count() >= self.joining_size().get() as usize {
            self.draft.release("the cluster is full again");
            return Ok(None);
        }
        if self.draft.members().any(|member| !member.is_voter()) {
            self.draft.release("another learner must be promoted or removed first");
            return Ok(None);
        }
        let learner = self.joins_as_learner(view);
        let task = Task::AddMember { peer_urls: self.report.peer_urls.clone(), learner, terms: self.terms(ticket)? };
        Ok(Some(self.instruct(task, Cause::BelowSize { learner })))
    }
}
