//! Changes of membership: each needs the ticket, and none may cost the quorum.

use std::sync::Arc;

use super::{Planner, look::Look};
use crate::{EventKind, Instruction, Member, MemberKey, PeerUrl, Purpose, Reason, Task, Ticket};

/// How many log entries a learner may be behind the leader and still count as caught up. An absolute number,
/// because etcd's own test is a ratio (`server/etcdserver/server.go:isLearnerReady`) and passes learners that have
/// hours of log to fetch.
const CAUGHT_UP_WITHIN: u64 = 1_000;

impl Planner<'_> {
    /// Takes the ticket back once it has served its purpose or its holder has gone.
    pub(super) fn settle_ticket(&mut self) {
        let Some(ticket) = &self.draft.ticket else { return };
        let last = self.liveness.nodes.get(&ticket.holder).map(|node| node.at);
        // What lies ahead is of a clock that has been set back since, and must not hold a ticket until then.
        let heard = [last, Some(ticket.granted_at)].into_iter().flatten().filter(|at| *at <= self.now).max();
        let heard = heard.map_or(self.liveness.since, |heard| heard.max(self.liveness.since));
        if self.is_done(&ticket.purpose) {
            self.draft.release("done");
        } else if heard.age(self.now) >= Ticket::LEASE {
            self.draft.release("its holder has not been heard of for too long");
        }
    }

    fn is_done(&self, purpose: &Purpose) -> bool {
        let voter = |key: &MemberKey| self.draft.member(key).is_some_and(|member| member.is_voter());
        match purpose {
            Purpose::Join { peer_urls, replaces } => {
                let joined = |member: &&Arc<Member>| {
                    member.is_voter()
                        && member.started
                        && member.has_peer_urls(peer_urls)
                        && Some(&member.key) != replaces.as_ref()
                };
                self.draft.members().any(|member| joined(&member))
            }
            Purpose::Remove { member } => self.draft.member(member).is_none(),
            Purpose::Update { member, peer_urls } => {
                self.draft.member(member).is_none_or(|member| member.has_peer_urls(peer_urls))
            }
            Purpose::Promote { member } => self.draft.member(member).is_none() || voter(member),
        }
    }

    /// Whether the node keeps a ticket that it is not told to use, and that others may need. A joiner needs its own
    /// between two changes, and whoever has to look or is paused may need it next.
    pub(super) fn has_idle_ticket(&self, instruction: &Instruction) -> bool {
        let is_kept = |ticket: &Ticket| matches!(ticket.purpose, Purpose::Join { .. });
        let is_put_off = matches!(instruction.task, Task::Observe(_)) || instruction.reason == Reason::Paused;
        instruction.task.terms().is_none() && !is_put_off && self.own_ticket().is_some_and(|ticket| !is_kept(&ticket))
    }

    /// The node's own ticket.
    pub(super) fn own_ticket(&self) -> Option<Ticket> {
        self.draft.ticket.clone().filter(|ticket| ticket.holder == self.report.name)
    }

    /// The ticket that another node holds, as a reason to wait.
    pub(super) fn held_by_another(&self) -> Option<Instruction> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.holder != self.report.name)?;
        Some(self.ticket_held(ticket))
    }

    /// The ticket for a purpose: the one that the node holds for it already, or a new one.
    pub(super) fn ticket_for(&mut self, purpose: Purpose, why: &str) -> Ticket {
        match self.own_ticket() {
            Some(ticket) if ticket.purpose == purpose => ticket,
            Some(_) => {
                self.draft.release("its holder has something else to do");
                self.draft.grant(&self.report.name, purpose, why)
            }
            None => self.draft.grant(&self.report.name, purpose, why),
        }
    }

    /// Removes a member, be it this node's own or another.
    pub(super) fn remove(&mut self, member: &Member, look: &Look<'_>, reason: Reason, why: &str) -> Instruction {
        if let Some(wait) = self.held_by_another() {
            return wait;
        }
        if let Some(wait) = self.risk_of_removing(member, look) {
            return wait;
        }
        let ticket = self.ticket_for(Purpose::Remove { member: member.key.clone() }, why);
        let (terms, member_key) = (self.terms(&ticket), member.key.clone());
        let own = self.report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
        if own && self.report.is_running() {
            return self.answer(Task::Leave { member: member_key, terms }, reason, why);
        }
        self.answer(Task::RemoveMember { member: member_key, terms }, reason, why)
    }

    /// Why a member can't be removed now: the voters that remain and answer must be a quorum of those that remain.
    pub(super) fn risk_of_removing(&self, member: &Member, look: &Look<'_>) -> Option<Instruction> {
        if !member.is_voter() {
            return None;
        }
        let remaining = self.draft.voters().count() - 1;
        let up = self.draft.voters().filter(|voter| voter.key != member.key && look.is_up(voter)).count();
        if remaining == 0 {
            let message = "it is the last voter, and all data would go with it";
            return Some(self.refuse(
                Reason::LastMember,
                message,
                "stop its etcd, and delete the cluster if nobody needs it",
            ));
        }
        (up < quorum(remaining)).then(|| {
            let message = format!(
                "without {} ({}) the cluster would have {remaining} voters, of which {up} answer, and needs {}",
                member.name(),
                member.key,
                quorum(remaining)
            );
            self.wait(Reason::QuorumAtRisk, message)
        })
    }

    /// Whether dead voters may be removed with nobody there to replace them: what remains has to be a quorum of the
    /// size, too, so that removing one after the other never lowers the bar.
    pub(super) fn may_prune(&self, member: &Member, look: &Look<'_>) -> bool {
        let up = self.draft.voters().filter(|voter| voter.key != member.key && look.is_up(voter)).count();
        up >= quorum(self.draft.size.get() as usize) && self.risk_of_removing(member, look).is_none()
    }

    /// Gives this node's member the peer URLs that the node has now.
    pub(super) fn update_address(&mut self, own: &Member, look: &Look<'_>) -> Instruction {
        if !own.is_voter() {
            // etcd takes an updated learner for a voter in some of its lists (`membership/cluster.go:UpdateRaftAttributes`).
            let why = "its address changed, and a learner's can't be updated safely; it joins anew";
            return self.remove(own, look, Reason::AddressChanged, why);
        }
        if let Some(wait) = self.held_by_another() {
            return wait;
        }
        let peer_urls: Vec<PeerUrl> = self.report.peer_urls.clone();
        let why = "the node's peer URLs changed";
        let ticket = self.ticket_for(Purpose::Update { member: own.key.clone(), peer_urls: peer_urls.clone() }, why);
        let terms = self.terms(&ticket);
        self.answer(Task::UpdateMember { member: own.key.clone(), peer_urls, terms }, Reason::AddressChanged, why)
    }

    /// Makes a learner a voter once it has caught up, or removes it if the cluster is full without it.
    pub(super) fn promote(&mut self, learner: &Member, look: &Look<'_>) -> Instruction {
        if let Some(wait) = self.held_by_another() {
            return wait;
        }
        let voters = self.draft.voters().count();
        if voters >= self.draft.size.get() as usize {
            return self.remove(learner, look, Reason::Full, "the cluster is full without this learner");
        }
        let up = self.draft.voters().filter(|voter| look.is_up(voter)).count();
        if !look.is_up(learner) || up + 1 < quorum(voters + 1) {
            let message = "the quorum would not be safe with one voter more, because too few members answer";
            return self.wait(Reason::QuorumAtRisk, message);
        }
        match self.lag(learner, look) {
            Some(lag) if lag <= CAUGHT_UP_WITHIN => {}
            Some(lag) => return self.wait(Reason::CatchingUp, format!("the learner is {lag} log entries behind")),
            None => return self.wait(Reason::CatchingUp, "how far the learner is behind is not known yet"),
        }
        let why = "the learner has caught up";
        let ticket = match self.own_ticket() {
            Some(ticket) if matches!(ticket.purpose, Purpose::Join { .. }) => ticket,
            _ => self.ticket_for(Purpose::Promote { member: learner.key.clone() }, why),
        };
        let terms = self.terms(&ticket);
        self.answer(Task::Promote { member: learner.key.clone(), terms }, Reason::CaughtUp, why)
    }

    /// How many log entries a learner is behind the voter that is furthest.
    fn lag(&self, learner: &Member, look: &Look<'_>) -> Option<u64> {
        let furthest = self.draft.voters().filter_map(|voter| look.applied(voter)).max()?;
        Some(furthest.saturating_sub(look.applied(learner)?))
    }

    /// Whether the node can be added as a voter right away. One that has not started counts as down, so the others
    /// have to be a quorum without it.
    pub(super) fn joins_as_learner(&self, look: &Look<'_>) -> bool {
        let voters = self.draft.voters().count();
        let up = self.draft.voters().filter(|voter| look.is_up(voter)).count();
        self.draft.policy.learner || up < quorum(voters + 1)
    }

    /// Notes that a member has run, and what its node says of itself; gives the member as it is then.
    pub(super) fn learn_from_own(&mut self, own: &Arc<Member>) -> Arc<Member> {
        let Planner { report, .. } = *self;
        let mut after = Member::clone(own);
        after.started = true;
        if report.is_running() {
            after.registration.name = report.name.clone();
            if !report.client_urls.is_empty() {
                after.client_urls = report.client_urls.clone();
            }
        }
        if after == **own {
            return own.clone();
        }
        let message = format!("{} ({}) reported its data or its etcd", after.name(), own.key);
        self.draft.update(&own.key, EventKind::MemberUpdated, message, |member| *member = after);
        self.draft.member(&own.key).unwrap_or(own).clone()
    }
}

/// How many of so many voters decide.
pub(super) fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}
