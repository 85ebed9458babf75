use std::sync::Arc;

use super::Planner;
use crate::{Instruction, Member, MemberKey, Purpose, Reason, Task, Ticket};

impl Planner<'_> {
    /// Takes the ticket back once it has served its purpose or its holder has gone.
    pub(super) fn release_ended_ticket(&mut self) {
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
    pub(super) fn holds_idle_ticket(&self, instruction: &Instruction) -> bool {
        let is_kept = |ticket: &Ticket| matches!(ticket.purpose, Purpose::Join { .. });
        let is_put_off = matches!(instruction.task, Task::Observe(_)) || instruction.reason == Reason::Paused;
        instruction.task.terms().is_none() && !is_put_off && self.own_ticket().is_some_and(|ticket| !is_kept(&ticket))
    }

    /// The node's own ticket.
    pub(super) fn own_ticket(&self) -> Option<Ticket> {
        self.draft.ticket.clone().filter(|ticket| ticket.holder == self.report.name)
    }

    /// The ticket that another node holds, as a reason to wait.
    pub(super) fn ticket_held_by_other(&self) -> Option<Instruction> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.holder != self.report.name)?;
        Some(self.ticket_held(ticket))
    }

    /// The ticket for a purpose: the one that the node holds for it already, or a new one.
    pub(super) fn take_ticket(&mut self, purpose: Purpose, why: &str) -> Ticket {
        match self.own_ticket() {
            Some(ticket) if ticket.purpose == purpose => ticket,
            Some(_) => {
                self.draft.release("its holder has something else to do");
                self.draft.grant(&self.report.name, purpose, why)
            }
            None => self.draft.grant(&self.report.name, purpose, why),
        }
    }
}
