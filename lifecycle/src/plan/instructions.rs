use std::{sync::Arc, time::Duration};

use super::{
    Planner,
    blocked::{Blocked, Explanation, Outcome},
    cause::Cause,
};
use crate::{Endpoints, EtcdFlags, ExpectedMember, Instruction, Member, MemberKey, Reason, Task, Terms, Ticket};

/// How soon a node that waits for other nodes checks in again.
const SOON: Duration = Duration::from_secs(2);

impl Planner<'_> {
    /// The instruction to do a task.
    pub(super) fn instruct(&self, task: Task, cause: Cause) -> Instruction {
        self.instruction(task, cause.reason(), cause.to_string())
    }

    /// The instruction for a node that gets no further now.
    pub(super) fn explain(&self, blocked: &Blocked) -> Instruction {
        let Explanation { outcome, reason, message } = blocked.explain();
        let task = match outcome {
            Outcome::Wait => Task::Wait,
            Outcome::Observe => Task::Observe(self.endpoints()),
            Outcome::StandBy => Task::StandBy,
            Outcome::Refuse { remedy } => Task::Refuse { remedy: remedy.into_owned() },
        };
        self.instruction(task, reason, message)
    }

    fn instruction(&self, task: Task, reason: Reason, message: String) -> Instruction {
        let every = self.draft.policy.check_in_every;
        let check_in_after = match (&task, reason) {
            (Task::Wait, Reason::Healthy) if self.is_watchful() => SOON.min(every),
            (Task::Wait, Reason::Healthy | Reason::Paused) => every,
            (Task::Wait, _) => SOON.min(every),
            (Task::StandBy | Task::Refuse { .. } | Task::Start(_) | Task::Bootstrap(_) | Task::Join(_), _) => every,
            _ => Duration::ZERO,
        };
        Instruction { task, reason, message, check_in_after }
    }

    /// Whether something is under way that nodes with nothing to do see or finish: a membership change, or the death of a member.
    fn is_watchful(&self) -> bool {
        let own = self.report.identity().map(|own| own.member);
        self.draft.ticket.is_some()
            || self.draft.members().any(|member| !member.is_voter())
            || self.liveness.is_somebody_unreached(&self.draft, own, self.now)
    }

    fn endpoints(&self) -> Endpoints {
        let mut endpoints = Endpoints { cluster: self.draft.cluster_id, ..Endpoints::default() };
        for member in self.draft.members() {
            endpoints.client_urls.extend(member.client_urls.iter().cloned());
            endpoints.peer_urls.extend(member.registration.peer_urls.iter().cloned());
        }
        endpoints
    }

    /// The terms of a change that the holder of a ticket makes now. Fails if the ticket's step has had its time.
    pub(super) fn terms(&self, ticket: &Ticket) -> Result<Terms, Blocked> {
        let act_within = self.time_to_act(ticket)?;
        let expected = self
            .draft
            .members()
            .filter_map(|member| Some(ExpectedMember { id: member.key.id()?, learner: !member.is_voter() }));
        let mut expect: Vec<ExpectedMember> = expected.collect();
        expect.sort_unstable();
        Ok(Terms { ticket: ticket.number, act_within, expect, witnesses: self.draft.policy.witnesses })
    }

    /// The flags of an etcd that starts as this member. `--initial-cluster` has all members, also those that have not
    /// started. etcd ignores the names of the others, but two equal names would be one member to etcd
    /// (`client/pkg/types/urlsmap.go:parse`).
    pub(super) fn etcd_flags(&self, own: &MemberKey) -> EtcdFlags {
        let mut pairs = Vec::new();
        for member in self.draft.members() {
            let name = self.name_in_initial_cluster(member, own);
            pairs.extend(member.registration.peer_urls.iter().map(|url| format!("{name}={url}")));
        }
        EtcdFlags {
            name: self.report.name.clone(),
            peer_urls: self.report.peer_urls.clone(),
            initial_cluster: pairs.join(","),
            initial_cluster_token: self.draft.initial_cluster_token(),
        }
    }

    fn name_in_initial_cluster(&self, member: &Member, own: &MemberKey) -> String {
        if member.key == *own {
            return self.report.name.to_string();
        }
        let is_namesake = |other: &&Arc<Member>| other.name() == member.name() && other.key != member.key;
        let is_unique = member.name() != &self.report.name && self.draft.members().find(is_namesake).is_none();
        if is_unique { member.name().to_string() } else { member.key.to_string() }
    }
}
