//! The planner: turns a report into an instruction.
//!
//! It decides from the present state alone. The cluster keeps only two facts about earlier instructions: the ticket, and
//! that a founder was instructed to bootstrap. So a lost instruction is given again, and a node that crashed continues
//! from etcd's own state.

mod blocked;
mod cause;
mod forming;
mod founding_hold;
mod instructions;
mod join_overrides;
mod joining;
mod membership;
mod never_led;
mod quorum_view;
mod reconcile;
mod rolled_back;
mod running;
mod starting;
mod tickets;

use blocked::Blocked;
use cause::Cause;

use crate::{
    Cluster, Instruction, Liveness, Member, NodeState, Report, Task, Transition, UnixMillis,
    cluster_draft::ClusterDraft,
};

/// The result of a check-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the node does next.
    pub instruction: Instruction,
    /// What changes in the registry before the node gets the instruction. `None` if nothing changes.
    pub change: Option<Transition>,
}

/// Decides what the node that sent a report does next, and what the registry learns from the report.
///
/// The function is pure: the same arguments give the same plan. `liveness` is the state of the failure detector before
/// this report. After the change is made, the same report gives the same instruction and no change.
pub fn plan(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut planner = Planner { draft: ClusterDraft::new(cluster, now), liveness, report, now };
    let instruction = planner.decide();
    Plan { instruction, change: planner.draft.finish() }
}

/// One decision.
struct Planner<'a> {
    /// The cluster, with the changes so far.
    draft: ClusterDraft<'a>,
    liveness: &'a Liveness,
    report: &'a Report,
    now: UnixMillis,
}

/// An instruction that takes the node further, or why there is none.
type Decision = Result<Instruction, Blocked>;

impl Planner<'_> {
    fn decide(&mut self) -> Instruction {
        if self.liveness.is_overtaken(self.report) {
            return self.explain(&Blocked::Overtaken);
        }
        self.reconcile_with_view();
        self.reconcile_with_leftover();
        self.hold_founding_on_evidence();
        self.release_done_or_expired_ticket();
        let mut instruction = self.decide_by_state();
        if self.holds_idle_ticket(&instruction) {
            self.draft.release("not needed now");
            instruction = self.decide_by_state();
        }
        self.release_hold_if_founded();
        instruction
    }

    fn decide_by_state(&mut self) -> Instruction {
        let decision = match &self.report.state {
            NodeState::Empty if self.draft.formed.is_none() => self.form_cluster(),
            NodeState::Empty => self.join_cluster(),
            NodeState::Unreadable { found } => self.handle_unreadable_data(found),
            NodeState::Stopped(identity) => self.start_stopped(*identity),
            NodeState::Starting(identity) => self.watch_start(*identity),
            NodeState::Running(identity) => self.handle_running(*identity),
        };
        decision.unwrap_or_else(|blocked| self.explain(&blocked))
    }

    /// Unreadable data may be all that is left of the cluster, so it never counts as no data.
    fn handle_unreadable_data(&mut self, found: &str) -> Decision {
        let found: String = found.chars().take(200).collect();
        if self.draft.formed.is_none() {
            return Err(Blocked::UnreadableWhileForming { found });
        }
        if self.report.leaving {
            return Err(Blocked::UnreadableWhileLeaving { found });
        }
        let view = self.quorum_view()?;
        let namesake = self.draft.members().find(|member| member.name() == &self.report.name);
        if let Some(namesake) = namesake.filter(|namesake| view.is_up(namesake)) {
            return Err(Blocked::UnreadableDataInUse { member: namesake.key.clone() });
        }
        Ok(self.instruct(Task::ArchiveData, Cause::UnreadableData { found }))
    }

    /// Fails if a member other than `own` has the node's name or one of its peer URLs.
    fn check_identity_is_unique(&self, own: &Member) -> Result<(), Blocked> {
        let mut others = self.draft.members().filter(|member| member.key != own.key);
        match others.find_map(|other| self.name_conflict(other).or_else(|| self.peer_url_conflict(other))) {
            Some(conflict) => Err(conflict),
            None => Ok(()),
        }
    }

    fn name_conflict(&self, other: &Member) -> Option<Blocked> {
        let name = &self.report.name;
        (other.name() == name).then(|| Blocked::NameTaken { name: name.clone(), member: other.key.clone() })
    }

    fn peer_url_conflict(&self, other: &Member) -> Option<Blocked> {
        let url = other.shared_peer_url(&self.report.peer_urls)?;
        Some(Blocked::PeerUrlTaken { url: url.clone(), member: other.label() })
    }
}
