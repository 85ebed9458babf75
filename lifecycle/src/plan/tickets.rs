use std::sync::Arc;

use super::{Planner, blocked::Blocked};
use crate::{Instruction, Member, MemberKey, Purpose, Reason, Task, Ticket};

impl Planner<'_> {
    /// Releases the ticket if its change is done or its lease has expired.
    pub(super) fn release_done_or_expired_ticket(&mut self) {
        let Some(ticket) = &self.draft.ticket else { return };
        if self.is_done(&ticket.purpose) {
            self.draft.release("done");
        } else if self.lease_has_expired(ticket) {
            self.draft.release("its lease has expired");
        }
    }

    /// Whether the holder has not checked in for [`Ticket::LEASE`].
    fn lease_has_expired(&self, ticket: &Ticket) -> bool {
        let checked_in = self.liveness.nodes.get(&ticket.holder).map(|node| node.at);
        // A check-in in the future is of a clock that was set back since. It must not extend the lease until then.
        let last = [checked_in, Some(ticket.granted_at)].into_iter().flatten().filter(|at| *at <= self.now).max();
        let last = last.map_or(self.liveness.since, |last| last.max(self.liveness.since));
        last.age(self.now) >= Ticket::LEASE
    }

    fn is_done(&self, purpose: &Purpose) -> bool {
        let is_voter = |key: &MemberKey| self.draft.member(key).is_some_and(|member| member.is_voter());
        match purpose {
            Purpose::Join { peer_urls, replaces } => {
                let has_joined = |member: &&Arc<Member>| {
                    member.is_voter()
                        && member.started
                        && member.has_peer_urls(peer_urls)
                        && Some(&member.key) != replaces.as_ref()
                };
                self.draft.members().any(|member| has_joined(&member))
            }
            Purpose::Remove { member } => self.draft.member(member).is_none(),
            Purpose::Update { member, peer_urls } => {
                self.draft.member(member).is_none_or(|member| member.has_peer_urls(peer_urls))
            }
            Purpose::Promote { member } => self.draft.member(member).is_none() || is_voter(member),
        }
    }

    /// Whether the node holds a ticket that its instruction does not use, and that other nodes may need. A joining node
    /// keeps its ticket between two changes. A node that observes the cluster or is paused may need it next.
    pub(super) fn holds_idle_ticket(&self, instruction: &Instruction) -> bool {
        let is_kept = |ticket: &Ticket| matches!(ticket.purpose, Purpose::Join { .. });
        let is_put_off = matches!(instruction.task, Task::Observe(_)) || instruction.reason == Reason::Paused;
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
