//! Changes of membership: each needs the ticket, and none may cost the quorum.

use super::{Planner, quorum_view::QuorumView};
use crate::{Instruction, Member, MemberKey, PeerUrl, Purpose, Reason, Task, cluster::quorum_of};

/// How many log entries a learner may be behind the leader and still count as caught up. An absolute number,
/// because etcd's own test is a ratio (`server/etcdserver/server.go:isLearnerReady`) and passes learners that have
/// hours of log to fetch.
const CAUGHT_UP_WITHIN: u64 = 1_000;

impl Planner<'_> {
    /// Removes a member, be it this node's own or another.
    pub(super) fn remove_member(
        &mut self,
        member: &Member,
        view: &QuorumView<'_>,
        reason: Reason,
        why: &str,
    ) -> Instruction {
        if let Some(wait) = self.ticket_held_by_other() {
            return wait;
        }
        if let Some(wait) = self.quorum_risk(member, view) {
            return wait;
        }
        let ticket = self.take_ticket(Purpose::Remove { member: member.key.clone() }, why);
        let (terms, member_key) = (self.terms(&ticket), member.key.clone());
        let own = self.report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
        if own && self.report.is_running() {
            return self.answer(Task::Leave { member: member_key, terms }, reason, why);
        }
        self.answer(Task::RemoveMember { member: member_key, terms }, reason, why)
    }

    /// Why a member can't be removed now: the voters that remain and answer must be a quorum of those that remain.
    pub(super) fn quorum_risk(&self, member: &Member, view: &QuorumView<'_>) -> Option<Instruction> {
        if !member.is_voter() {
            return None;
        }
        let remaining = self.draft.voters().count() - 1;
        let up = self.draft.voters().filter(|voter| voter.key != member.key && view.is_up(voter)).count();
        if remaining == 0 {
            let message = "it is the last voter, and all data would go with it";
            return Some(self.refuse(
                Reason::LastMember,
                message,
                "stop its etcd, and delete the cluster if nobody needs it",
            ));
        }
        (up < quorum_of(remaining)).then(|| {
            let message = format!(
                "without {} ({}) the cluster would have {remaining} voters, of which {up} answer, and needs {}",
                member.name(),
                member.key,
                quorum_of(remaining)
            );
            self.wait(Reason::QuorumAtRisk, message)
        })
    }

    /// Whether dead voters may be removed with nobody there to replace them: what remains has to be a quorum of the
    /// size, too, so that removing one after the other never lowers the bar.
    pub(super) fn may_prune(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        let up = self.draft.voters().filter(|voter| voter.key != member.key && view.is_up(voter)).count();
        up >= quorum_of(self.draft.size.get() as usize) && self.quorum_risk(member, view).is_none()
    }

    /// Gives this node's member the peer URLs that the node has now.
    pub(super) fn update_address(&mut self, own: &Member, view: &QuorumView<'_>) -> Instruction {
        if !own.is_voter() {
            // etcd takes an updated learner for a voter in some of its lists (`membership/cluster.go:UpdateRaftAttributes`).
            let why = "its address changed, and a learner's can't be updated safely; it joins anew";
            return self.remove_member(own, view, Reason::AddressChanged, why);
        }
        if let Some(wait) = self.ticket_held_by_other() {
            return wait;
        }
        let peer_urls: Vec<PeerUrl> = self.report.peer_urls.clone();
        let why = "the node's peer URLs changed";
        let ticket = self.take_ticket(Purpose::Update { member: own.key.clone(), peer_urls: peer_urls.clone() }, why);
        let terms = self.terms(&ticket);
        self.answer(Task::UpdateMember { member: own.key.clone(), peer_urls, terms }, Reason::AddressChanged, why)
    }

    /// Makes a learner a voter once it has caught up, or removes it if the cluster is full without it.
    pub(super) fn promote(&mut self, learner: &Member, view: &QuorumView<'_>) -> Instruction {
        if let Some(wait) = self.ticket_held_by_other() {
            return wait;
        }
        let voters = self.draft.voters().count();
        if voters >= self.draft.size.get() as usize {
            return self.remove_member(learner, view, Reason::Full, "the cluster is full without this learner");
        }
        let up = self.draft.voters().filter(|voter| view.is_up(voter)).count();
        if !view.is_up(learner) || up + 1 < quorum_of(voters + 1) {
            let message = "the quorum would not be safe with one voter more, because too few members answer";
            return self.wait(Reason::QuorumAtRisk, message);
        }
        match self.lag(learner, view) {
            Some(lag) if lag <= CAUGHT_UP_WITHIN => {}
            Some(lag) => return self.wait(Reason::CatchingUp, format!("the learner is {lag} log entries behind")),
            None => return self.wait(Reason::CatchingUp, "how far the learner is behind is not known yet"),
        }
        let why = "the learner has caught up";
        let ticket = match self.own_ticket() {
            Some(ticket) if matches!(ticket.purpose, Purpose::Join { .. }) => ticket,
            _ => self.take_ticket(Purpose::Promote { member: learner.key.clone() }, why),
        };
        let terms = self.terms(&ticket);
        self.answer(Task::Promote { member: learner.key.clone(), terms }, Reason::CaughtUp, why)
    }

    /// How many log entries a learner is behind the voter that is furthest.
    fn lag(&self, learner: &Member, view: &QuorumView<'_>) -> Option<u64> {
        let furthest = self.draft.voters().filter_map(|voter| view.applied(voter)).max()?;
        Some(furthest.saturating_sub(view.applied(learner)?))
    }

    /// Whether the node can be added as a voter right away. One that has not started counts as down, so the others
    /// have to be a quorum without it.
    pub(super) fn joins_as_learner(&self, view: &QuorumView<'_>) -> bool {
        let voters = self.draft.voters().count();
        let up = self.draft.voters().filter(|voter| view.is_up(voter)).count();
        self.draft.policy.learner || up < quorum_of(voters + 1)
    }
}
