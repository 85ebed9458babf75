use std::time::Duration;

use super::{Planner, blocked::Blocked, quorum_view::QuorumView};
use crate::{
    Instruction, LastCheckIn, Member, MemberName, NodeState, Purpose, Reason, ReportedState, Setback, Task, Ticket,
    UnixMillis, ticket::Step,
};

impl Planner<'_> {
    /// Releases the ticket if its change is done, or if it does not progress.
    pub(super) fn release_done_or_stalled_ticket(&mut self) {
        self.draft.record_progress();
        let Some(ticket) = self.draft.ticket.clone() else { return };
        if ticket.purpose.step(&self.draft) == Step::Done {
            self.draft.release_done();
        } else if self.is_stalled(&ticket) {
            self.release_stalled_ticket(&ticket);
        }
    }

    /// Whether the step of a ticket has had its time, or the holder has been silent for as long. Then no change of it is under
    /// way any more.
    fn is_stalled(&self, ticket: &Ticket) -> bool {
        self.silence_of_holder(ticket).max(self.step_age(ticket)) >= Ticket::LEASE
    }

    /// How long the holder of a ticket has not checked in.
    fn silence_of_holder(&self, ticket: &Ticket) -> Duration {
        let checked_in = self.liveness.nodes.get(&ticket.holder).map_or(ticket.granted_at, |node| node.at);
        self.age_of(checked_in.max(ticket.granted_at))
    }

    /// Releases a ticket whose step has had its time, unless etcd's list can still show progress soon.
    ///
    /// Only a node with a quorum view may do that: its list shows all progress, and the node can go on with the change. Where
    /// nobody sees a quorum, the membership can't change anyway.
    fn release_stalled_ticket(&mut self, ticket: &Ticket) {
        let Ok(view) = self.quorum_view() else { return };
        let joiner = ticket.purpose.joiner(&self.draft);
        match (ticket.purpose.step(&self.draft), joiner) {
            (Step::Start, Some(joiner)) if self.is_starting(ticket, joiner, &view) => {}
            // A learner that answers needs no ticket while it catches up, and any node may promote it then.
            (Step::Promote, Some(joiner)) if self.is_out_of_reach(joiner, &view) => {
                self.draft.release_without_progress("no voter reaches its learner at its peer URLs");
            }
            (Step::Promote, Some(joiner)) if self.is_alive(joiner, &view) => {
                self.draft.release("its learner runs, and is promoted once it has caught up");
            }
            (Step::Promote, Some(joiner)) if self.is_starting(ticket, joiner, &view) => {}
            _ if self.draft.policy.paused => self.draft.release("membership changes are paused"),
            // It comes back from a long silence, and no other node wanted the ticket.
            _ if ticket.holder == self.report.name && self.silence_of_holder(ticket) >= Ticket::LEASE => {
                self.draft.release("its lease has expired");
            }
            (step, _) => {
                let since = ticket.progress_at.clock_time(self.now);
                self.draft.release_without_progress(&format!(
                    "no progress since {since}; the next step was: {}",
                    step.as_str()
                ));
            }
        }
    }

    /// Whether the etcd of a ticket's holder shows that it is starting: its node reports that it loads its data, or an etcd
    /// answers at its peer URLs.
    fn is_starting(&self, ticket: &Ticket, joiner: &Member, view: &QuorumView<'_>) -> bool {
        let is_loading = |node: &LastCheckIn| {
            matches!(node.state, ReportedState::Loading(_)) && node.at.age(self.now) < Ticket::LEASE
        };
        let is_loading = self.liveness.nodes.get(&ticket.holder).is_some_and(is_loading);
        self.step_age(ticket) < Ticket::LONGEST_START && (is_loading || view.is_up(joiner))
    }

    /// Whether a learner answers this node, or within [`Ticket::LEASE`] has answered another one or was heard by the leader. The
    /// leader hears a learner that it can't reach, too, but that learner can't become a voter.
    fn is_alive(&self, learner: &Member, view: &QuorumView<'_>) -> bool {
        let known = self.liveness.members.get(&learner.key).copied().unwrap_or_default();
        let is_reached = view.round_trips(learner).is_some_and(|round_trips| round_trips > 0);
        let is_failing = self.liveness.is_failing(&self.draft.policy, learner);
        let last = known.answered.max(known.heard.filter(|_| is_reached && !is_failing));
        view.is_up(learner) || last.is_some_and(|at| at.age(self.now) < Ticket::LEASE)
    }

    /// Whether a learner answers, but for [`Ticket::LEASE`] no voter has reached it at its peer URLs. It can't become a voter.
    pub(super) fn is_out_of_reach(&self, learner: &Member, view: &QuorumView<'_>) -> bool {
        let unreached = self.liveness.unreached_since(&self.draft.policy, learner, self.now);
        view.is_up(learner) && unreached.is_some_and(|since| since.age(self.now) >= Ticket::LEASE)
    }

    /// Whether the node of a learner has lost its ticket without progress, and the learner does not answer. A node that wants
    /// the place need not wait until the learner is dead.
    pub(super) fn is_abandoned(&self, learner: &Member, view: &QuorumView<'_>) -> bool {
        self.setback(learner.name()).is_some() && !self.is_alive(learner, view) && !self.may_be_starting(learner)
    }

    /// Whether a learner's node has just checked in and may be starting its etcd on the data that it has.
    fn may_be_starting(&self, learner: &Member) -> bool {
        let policy = &self.draft.policy;
        let checked_in = self.liveness.members.get(&learner.key).and_then(|known| known.checked_in);
        let is_new = checked_in.is_some_and(|at| at.age(self.now) < Ticket::LEASE);
        learner.started && is_new && !self.liveness.is_failing(policy, learner)
    }

    /// For how long the present step of a ticket has been under way.
    fn step_age(&self, ticket: &Ticket) -> Duration {
        self.age_of(ticket.progress_at)
    }

    /// How long ago something was. The time that the registry was interrupted does not count.
    pub(super) fn age_of(&self, at: UnixMillis) -> Duration {
        // A time in the future is of a clock that was set back since. It must not count as now until then.
        let at = if at <= self.now { at } else { self.liveness.since };
        at.max(self.liveness.since).age(self.now)
    }

    /// How long the holder of a ticket may still begin a change.
    pub(super) fn time_to_act(&self, ticket: &Ticket) -> Result<Duration, Blocked> {
        let left = Ticket::ACT_WITHIN.saturating_sub(self.step_age(ticket));
        match left.is_zero() {
            true => Err(Blocked::StepOverdue { number: ticket.number, step: ticket.purpose.step(&self.draft) }),
            false => Ok(left),
        }
    }

    /// Whether the ticket is held by a node that has had its time. Then this node's view may take it away.
    pub(super) fn has_stalled_ticket(&self) -> bool {
        self.draft.ticket.as_ref().is_some_and(|ticket| self.is_stalled(ticket))
    }

    /// Whether the node holds a ticket that its instruction does not use, and that other nodes may need. A joining node
    /// keeps its ticket between two changes. A node that observes the cluster, is paused or may not act any more may still be
    /// changing the membership, or need the ticket next.
    pub(super) fn holds_idle_ticket(&self, instruction: &Instruction) -> bool {
        let is_kept = |ticket: &Ticket| matches!(ticket.purpose, Purpose::Join { .. });
        let is_put_off = matches!(instruction.task, Task::Observe(_))
            || matches!(instruction.reason, Reason::Paused | Reason::LastInLine);
        instruction.task.terms().is_none() && !is_put_off && self.own_ticket().is_some_and(|ticket| !is_kept(&ticket))
    }

    /// The ticket, if this node has it.
    pub(super) fn own_ticket(&self) -> Option<Ticket> {
        self.draft.ticket.clone().filter(|ticket| ticket.holder == self.report.name)
    }

    /// Fails if another node has the ticket.
    pub(super) fn check_ticket_is_free(&self) -> Result<(), Blocked> {
        match self.draft.ticket.as_ref().filter(|ticket| ticket.holder != self.report.name) {
            Some(ticket) => Err(Blocked::by_ticket(ticket)),
            None => Ok(()),
        }
    }

    /// Fails if the node may not take the ticket now: another node has it, or this node is last in line after it lost its
    /// last ticket without progress. `for_itself`: no other node can make the change, so that none goes first.
    pub(super) fn check_may_take_ticket(&self, for_itself: bool) -> Result<(), Blocked> {
        self.check_ticket_is_free()?;
        let setback = self.setback(&self.report.name).filter(|_| self.own_ticket().is_none());
        let Some(setback) = setback else { return Ok(()) };
        let others = if for_itself { None } else { self.end_of_the_turns_of_others(setback) };
        let own = setback.at.after(setback.wait());
        let again_at = others.map_or(own, |others| own.max(others.min(setback.at.after(Setback::LONGEST_WAIT))));
        if again_at <= self.now {
            return Ok(());
        }
        Err(Blocked::LastInLine { setback, again_at, goes_last: own < again_at, now: self.now })
    }

    pub(super) fn setback(&self, node: &MemberName) -> Option<Setback> {
        self.draft.setbacks.get(node).copied().filter(|setback| !setback.is_over(self.now))
    }

    /// When the turns of the other nodes end that could make this node's change, check in, and have had fewer or earlier setbacks. A
    /// node that has not taken the free ticket in its turn may be unable to, for example because it reaches only the registry. No turn
    /// begins before the latest setback of any node, because the ticket was not free before. The turns of nodes with setbacks follow one
    /// another.
    fn end_of_the_turns_of_others(&self, own: Setback) -> Option<UnixMillis> {
        let is_empty = matches!(self.report.state, NodeState::Empty);
        let fresh = Ticket::LEASE + 2 * self.draft.policy.check_in_every;
        let rank = |setback: Setback| (setback.count, setback.at);
        let setbacks = self.draft.setbacks.values().filter(|setback| !setback.is_over(self.now));
        let free_since = setbacks.map(|setback| setback.at).fold(own.at, Ord::max);
        let others = self.liveness.nodes.iter().filter(|(name, _)| **name != self.report.name);
        let mut before: Vec<Option<Setback>> = others
            .filter(|(_, node)| match node.state {
                ReportedState::Nothing => is_empty,
                ReportedState::Etcd(_) => !is_empty,
                _ => false,
            })
            .filter(|(_, node)| node.at.age(self.now) < fresh)
            .map(|(name, _)| self.setback(name))
            .filter(|setback| setback.is_none_or(|other| rank(other) < rank(own)))
            .collect();
        // Nodes without a setback first: their turns are at the same time.
        before.sort_by_key(|setback| setback.map(rank));
        before.into_iter().fold(None, |end: Option<UnixMillis>, other| {
            let begins = other.map_or(free_since, |other| other.at.after(other.wait()).max(end.unwrap_or(free_since)));
            Some(begins.after(fresh))
        })
    }

    /// The ticket for a purpose: the one that the node has for it already, or a new one.
    pub(super) fn take_ticket(&mut self, purpose: Purpose, why: &str) -> Ticket {
        match self.own_ticket() {
            Some(ticket) if ticket.purpose == purpose => ticket,
            Some(_) => {
                self.draft.release("its holder makes another change first");
                self.draft.grant(&self.report.name, purpose, why)
            }
            None => self.draft.grant(&self.report.name, purpose, why),
        }
    }
}
