use std::time::Duration;

use super::Planner;
use crate::{Endpoints, EtcdFlags, ExpectedMember, Instruction, Member, MemberKey, Reason, Task, Terms, Ticket};

/// How soon a node asks again that waits for something that others do.
const SOON: Duration = Duration::from_secs(2);

impl Planner<'_> {
    /// An instruction, with the usual time to the next check-in.
    pub(super) fn answer(&self, task: Task, reason: Reason, message: impl Into<String>) -> Instruction {
        let every = self.draft.policy.check_in_every;
        let check_in_after = match (&task, reason) {
            (Task::Wait, Reason::Healthy | Reason::Paused) => every,
            (Task::Wait, _) => SOON.min(every),
            (Task::StandBy | Task::Refuse { .. } | Task::Start(_) | Task::Bootstrap(_) | Task::Join(_), _) => every,
            _ => Duration::ZERO,
        };
        Instruction { task, reason, message: message.into(), check_in_after }
    }

    pub(super) fn wait(&self, reason: Reason, message: impl Into<String>) -> Instruction {
        self.answer(Task::Wait, reason, message)
    }

    pub(super) fn refuse(&self, reason: Reason, message: impl Into<String>, remedy: &str) -> Instruction {
        self.answer(Task::Refuse { remedy: remedy.to_owned() }, reason, message)
    }

    /// Asks for a look at the cluster.
    pub(super) fn observe(&self, message: &str) -> Instruction {
        let mut endpoints = Endpoints::default();
        for member in self.draft.members() {
            endpoints.client_urls.extend(member.client_urls.iter().cloned());
            endpoints.peer_urls.extend(member.registration.peer_urls.iter().cloned());
        }
        self.answer(Task::Observe(endpoints), Reason::LookNeeded, message)
    }

    pub(super) fn paused(&self) -> Instruction {
        self.wait(Reason::Paused, "an administrator has paused all changes of membership of this cluster")
    }

    /// Why a node waits while another changes membership.
    pub(super) fn ticket_held(&self, ticket: &Ticket) -> Instruction {
        let Ticket { number, holder, purpose, .. } = ticket;
        self.wait(Reason::TicketHeld, format!("{holder} changes membership (ticket {number}: {})", purpose.as_str()))
    }

    /// On which terms the holder of a ticket may act now.
    pub(super) fn terms(&self, ticket: &Ticket) -> Terms {
        let expected = self
            .draft
            .members()
            .filter_map(|member| Some(ExpectedMember { id: member.key.id()?, learner: !member.is_voter() }));
        let mut expect: Vec<ExpectedMember> = expected.collect();
        expect.sort_unstable();
        Terms { ticket: ticket.number, act_within: Ticket::ACT_WITHIN, expect }
    }

    /// The flags of an etcd that starts as this member, with every present member, also those that have not started. Other members' names may be anything for
    /// etcd, but two that are equal would be taken for one member (`client/pkg/types/urlsmap.go:parse`).
    pub(super) fn start_as(&self, own: &MemberKey) -> EtcdFlags {
        let mut pairs = Vec::new();
        for member in self.draft.members() {
            let name = self.flag_name(member, own);
            pairs.extend(member.registration.peer_urls.iter().map(|url| format!("{name}={url}")));
        }
        EtcdFlags {
            name: self.report.name.clone(),
            peer_urls: self.report.peer_urls.clone(),
            initial_cluster: pairs.join(","),
            initial_cluster_token: self.draft.initial_cluster_token(),
        }
    }

    fn flag_name(&self, member: &Member, own: &MemberKey) -> String {
        if member.key == *own {
            return self.report.name.to_string();
        }
        let namesake = |other: &&std::sync::Arc<Member>| other.name() == member.name() && other.key != member.key;
        let is_unique = member.name() != &self.report.name && self.draft.members().find(namesake).is_none();
        if is_unique { member.name().to_string() } else { member.key.to_string() }
    }
}
