use std::sync::Arc;

use super::{Planner, quorum_view::QuorumView};
use crate::{Instruction, Member, MemberKey, Purpose, Reason, Strategy, Task, Ticket};

impl Planner<'_> {
    /// A node without data, once the cluster has formed: it takes a place that is free or a dead member's, or waits
    /// as a spare.
    pub(super) fn join_cluster(&mut self) -> Instruction {
        if self.report.leaving {
            return self.leave_without_data();
        }
        let own = self.draft.members().find(|member| self.is_own_member(member)).cloned();
        if let Some(own) = own
            && let Some(instruction) = self.resume_forming(&own)
        {
            return instruction;
        }
        let view = match self.quorum_view() {
            Ok(view) => view,
            Err(instruction) => return *instruction,
        };
        if self.joining_strategy() == Strategy::Prepared {
            return self.join_as_prepared();
        }
        if let Some(ticket) = self.own_ticket()
            && matches!(ticket.purpose, Purpose::Join { .. })
            && let Some(instruction) = self.next_join_step(&ticket, &view)
        {
            return instruction;
        }
        if self.draft.policy.paused {
            return self.paused();
        }
        if let Some(predecessor) = self.predecessor(&view) {
            return self.replace_predecessor(&predecessor, &view);
        }
        if self.own_member_was_evicted() {
            let message = "this node's member was evicted; it is a spare until an administrator withdraws the eviction";
            return self.answer(Task::StandBy, Reason::Evicted, message);
        }
        self.find_place(&view)
    }

    /// A node without data that wants to leave takes what is left of it out of the list: its member can't run any more.
    fn leave_without_data(&mut self) -> Instruction {
        let own = self.draft.members().find(|member| self.is_own_member(member)).cloned();
        let Some(own) = own else {
            return self.leave_as_non_member();
        };
        if self.draft.policy.paused {
            return self.paused();
        }
        match self.quorum_view() {
            Ok(view) if view.is_up(&own) => {
                let message = format!("member {} with this name and address answers, so it has its data", own.key);
                self.refuse(Reason::NameTaken, message, "let the node leave that has the data")
            }
            Ok(view) => {
                self.remove_member(&own, &view, Reason::Leaving, "the node wants to leave, and has no data any more")
            }
            Err(instruction) => *instruction,
        }
    }

    /// No member has both the node's name and its address. One that has its name or one of its peer URLs may still be the
    /// one that is meant to leave, by somebody who gave the wrong data directory or address: then it has not left.
    fn leave_as_non_member(&self) -> Instruction {
        let name = &self.report.name;
        let namesake = self.draft.members().find(|member| member.name() == name).map(|member| {
            let message =
                format!("member {} has the name {name} at other peer URLs, and this node no data", member.key);
            (Reason::NameTaken, message)
        });
        let neighbour = || {
            self.draft.members().find_map(|member| {
                let url = member.shared_peer_url(&self.report.peer_urls)?;
                let (key, other) = (&member.key, member.name());
                let message = format!("member {key} ({other}) has the peer URL {url}, and this node no data");
                Some((Reason::PeerUrlTaken, message))
            })
        };
        let Some((reason, message)) = namesake.or_else(neighbour) else {
            return self.left("this node is no member and has no data; nothing is left to do");
        };
        if self.report.view.is_none() {
            return self.observe("whether the member that this node may mean is still in etcd's list is looked for");
        }
        let remedy = "let that node leave with its own name, data directory and peer URLs, or evict it \
                      (PUT …/members/ID/eviction)";
        self.refuse(reason, message, remedy)
    }

    /// An administrator adds the member; the node waits for it, and starts as what it finds.
    fn join_as_prepared(&mut self) -> Instruction {
        if self.own_ticket().is_some() {
            self.draft.release("its holder may not change membership any more");
        }
        let prepared = self.draft.members().find(|member| self.has_own_peer_urls(member) && !member.started);
        match prepared {
            Some(member) => self.start_as_added(&member.key),
            None => {
                let message = "the strategy is prepared: an administrator has to add this node's peer URLs to etcd";
                self.wait(Reason::Strategy, message)
            }
        }
    }

    fn start_as_added(&self, own: &MemberKey) -> Instruction {
        let message = format!("this node is in etcd's list as {own}; start as that member");
        self.answer(Task::Join(self.start_as(own)), Reason::Added, message)
    }

    /// A present member that has this node's name or one of its peer URLs. There may be two: then one that answers
    /// counts before one that doesn't, and one at this node's place before one elsewhere.
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

    /// This node's former self, or a stranger that has its name or address.
    fn replace_predecessor(&mut self, predecessor: &Arc<Member>, view: &QuorumView<'_>) -> Instruction {
        let same_place = self.has_own_peer_urls(predecessor);
        let elsewhere = !same_place && self.liveness.is_partitioned(&self.draft.policy, predecessor, self.now);
        if view.is_up(predecessor) || elsewhere {
            let refusal = self.name_conflict(predecessor).or_else(|| self.peer_url_conflict(predecessor));
            return refusal
                .unwrap_or_else(|| self.wait(Reason::Partition, "a member with this node's address is alive"));
        }
        if predecessor.eviction.is_some() {
            let why = format!("an administrator has evicted {} ({})", predecessor.name(), predecessor.key);
            return self.remove_member(predecessor, view, Reason::Evicted, &why);
        }
        if same_place && !predecessor.is_voter() && !predecessor.started {
            // A learner that never ran has promised nothing to anybody, so whoever has its place can be it.
            if let Some(wait) = self.ticket_held_by_other() {
                return wait;
            }
            let purpose = Purpose::Join { peer_urls: self.report.peer_urls.clone(), replaces: None };
            self.take_ticket(purpose, "it was added before and did not start");
            return self.start_as_added(&predecessor.key);
        }
        let reason = if same_place {
            Reason::LostDisk
        } else if self.liveness.is_dead(&self.draft.policy, predecessor, self.now) {
            Reason::Dead
        } else {
            return self.not_dead_yet(predecessor);
        };
        self.begin_join(Some(predecessor), view, reason)
    }

    fn own_member_was_evicted(&self) -> bool {
        let former = self.draft.record.iter().filter(|member| *member.name() == self.report.name);
        let last = former.max_by_key(|member| member.removed.map(|removal| removal.at));
        last.is_some_and(|member| member.removed.is_some() && member.eviction.is_some())
    }

    fn find_place(&mut self, view: &QuorumView<'_>) -> Instruction {
        self.raise_size();
        let (policy, strategy) = (self.draft.policy, self.joining_strategy());
        let (voters, size) = (self.draft.voters().count(), self.joining_size().get() as usize);
        let learner = self.draft.members().find(|member| !member.is_voter()).cloned();
        if let Some(learner) = learner {
            return self.wait_for_learner(&learner, view, voters + 1 >= size);
        }
        let down: Vec<Arc<Member>> = self.draft.voters().filter(|voter| !view.is_up(voter)).cloned().collect();
        let dead = down.iter().find(|voter| self.liveness.is_dead(&policy, voter, self.now)).cloned();
        if voters > size {
            return self.full();
        }
        match (dead, down.first()) {
            (Some(dead), _) if strategy.removes_dead() => self.begin_join(Some(&dead), view, Reason::Dead),
            (_, Some(down)) if strategy.removes_dead() => self.not_dead_yet(down),
            _ if voters < size => self.begin_join(None, view, Reason::BelowSize),
            (_, Some(down)) => {
                let (name, key) = (down.name(), &down.key);
                let message = format!("{name} ({key}) does not answer, and the strategy {strategy} removes nobody");
                self.wait(Reason::Strategy, message)
            }
            _ => self.full(),
        }
    }

    /// etcd takes one learner at a time, so another node's comes first. It is promoted from here if nobody else does it:
    /// its own node may have gone once its etcd was started.
    fn wait_for_learner(&mut self, learner: &Arc<Member>, view: &QuorumView<'_>, is_enough: bool) -> Instruction {
        let (is_up, is_free) = (view.is_up(learner), self.ticket_held_by_other().is_none());
        if is_free
            && !is_up
            && self.joining_strategy().removes_dead()
            && self.liveness.is_dead(&self.draft.policy, learner, self.now)
        {
            let why = format!("learner {} ({}) was given up by its node", learner.name(), learner.key);
            return self.remove_member(learner, view, Reason::AbandonedLearner, &why);
        }
        // Whether a learner that answers is one too many is for members to say, who have a place themselves.
        let is_wanted = learner.eviction.is_none() && self.draft.voters().count() < self.draft.size.get() as usize;
        if is_free && is_up && is_wanted {
            let promotion = self.promote(learner, view);
            if promotion.task.terms().is_some() || !is_enough {
                return promotion;
            }
        }
        if is_enough && is_up {
            return self.full();
        }
        let message = format!("learner {} ({}) has to be promoted or removed first", learner.name(), learner.key);
        self.ticket_held_by_other().unwrap_or_else(|| self.wait(Reason::LearnerPresent, message))
    }

    pub(super) fn full(&self) -> Instruction {
        let (size, own) = (self.draft.size, self.joining_size());
        let (message, remedy) = if own < size {
            let message = format!("this node takes no place beyond {own} voters, and is a spare; the size is {size}");
            (message, "let the node join a larger cluster")
        } else {
            let message = format!("the cluster has as many voters as it is to have ({size}), and this node is a spare");
            (message, "raise the size, or evict a member")
        };
        if self.report.once {
            return self.refuse(Reason::Full, message, remedy);
        }
        self.answer(Task::StandBy, Reason::Full, message)
    }

    pub(super) fn not_dead_yet(&self, member: &Member) -> Instruction {
        let (name, key) = (member.name(), &member.key);
        let dead_after = self.draft.policy.dead_after;
        if member.downtime_until.is_some_and(|until| self.now < until) {
            return self
                .wait(Reason::NotDeadYet, format!("{name} ({key}) does not answer, and its downtime was announced"));
        }
        if self.liveness.is_partitioned(&self.draft.policy, member, self.now) {
            let message = format!("{name} ({key}) checks in but does not answer: it is cut off, not dead");
            return self.wait(Reason::Partition, message);
        }
        let message = format!(
            "{name} ({key}) does not answer, and counts as dead once nobody has heard of it, and tries to reach it have \
             failed, for {dead_after:?}"
        );
        self.wait(Reason::NotDeadYet, message)
    }

    /// Takes the ticket and begins with its first step.
    fn begin_join(&mut self, replaces: Option<&Arc<Member>>, view: &QuorumView<'_>, reason: Reason) -> Instruction {
        if self.is_beyond_own_size(replaces.map(|member| &member.key)) {
            return self.full();
        }
        if let Some(wait) = self.ticket_held_by_other() {
            return wait;
        }
        if let Some(member) = replaces {
            let strategy = self.joining_strategy();
            if !strategy.removes_dead() {
                let message = format!(
                    "{} ({}) would have to be removed first, and the strategy {strategy} removes nobody",
                    member.name(),
                    member.key
                );
                return self.wait(Reason::Strategy, message);
            }
            if let Some(wait) = self.quorum_risk(member, view) {
                return wait;
            }
        }
        let why = match replaces {
            Some(member) => format!("it takes the place of {} ({}): {reason}", member.name(), member.key),
            None => format!("it takes a free place: {reason}"),
        };
        let replaces = replaces.map(|member| member.key.clone());
        let purpose = Purpose::Join { peer_urls: self.report.peer_urls.clone(), replaces };
        let ticket = self.take_ticket(purpose, &why);
        match self.next_join_step(&ticket, view) {
            Some(instruction) => instruction,
            None => self.full(),
        }
    }

    /// The next step of a node that joins, from what is true in etcd; `None` if there is no place for it any more,
    /// and then the ticket is released.
    fn next_join_step(&mut self, ticket: &Ticket, view: &QuorumView<'_>) -> Option<Instruction> {
        let Purpose::Join { peer_urls, replaces } = &ticket.purpose else { return None };
        if *peer_urls != self.report.peer_urls {
            self.draft.release("its holder has other peer URLs now");
            return None;
        }
        let is_replaced = |member: &Member| replaces.as_ref() == Some(&member.key);
        let added = self.draft.members().find(|member| self.has_own_peer_urls(member) && !is_replaced(member)).cloned();
        if let Some(added) = added {
            if added.started {
                self.draft.release("its holder has lost its data again");
                return None;
            }
            return Some(self.start_as_added(&added.key));
        }
        if self.draft.policy.paused {
            return Some(self.paused());
        }
        if self.is_beyond_own_size(replaces.as_ref()) {
            self.draft.release("its holder takes no place in a cluster of this size any more");
            return None;
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
    ) -> Option<Instruction> {
        if !self.joining_strategy().removes_dead() {
            self.draft.release("the strategy removes nobody any more");
            return None;
        }
        if view.is_up(replaced) {
            self.draft.release("the member to replace is back");
            return None;
        }
        if !self.has_own_peer_urls(replaced) && !self.liveness.is_dead(&self.draft.policy, replaced, self.now) {
            self.draft.release("the member to replace was heard of again");
            return None;
        }
        if let Some(wait) = self.quorum_risk(replaced, view) {
            return Some(wait);
        }
        let reason = if self.has_own_peer_urls(replaced) { Reason::LostDisk } else { Reason::Dead };
        let message = format!("remove {} ({}), so that this node can take its place", replaced.name(), replaced.key);
        let task = Task::RemoveMember { member: replaced.key.clone(), terms: self.terms(ticket) };
        Some(self.answer(task, reason, message))
    }

    fn add_own_member(&mut self, ticket: &Ticket, view: &QuorumView<'_>) -> Option<Instruction> {
        if self.own_member_was_evicted() {
            self.draft.release("its holder was evicted");
            return None;
        }
        if self.draft.members().count() >= self.joining_size().get() as usize {
            self.draft.release("the cluster is full again");
            return None;
        }
        if self.draft.members().any(|member| !member.is_voter()) {
            self.draft.release("another learner has to be promoted or removed first");
            return None;
        }
        let learner = self.joins_as_learner(view);
        let message = if learner { "add this node as learner" } else { "add this node as voter" };
        let task = Task::AddMember { peer_urls: self.report.peer_urls.clone(), learner, terms: self.terms(ticket) };
        Some(self.answer(task, Reason::BelowSize, message))
    }
}
