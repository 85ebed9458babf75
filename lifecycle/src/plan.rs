//! The planner: turns a report into an instruction.
//!
//! It decides from the present state alone. The cluster keeps only two facts about earlier instructions: the ticket, and
//! that a founder was instructed to bootstrap. So a lost instruction is given again, and a node that crashed continues
//! from etcd's own state.

mod blocked;
mod cause;
mod downtime;
mod forming;
mod founding_hold;
mod instructions;
mod join_overrides;
mod joining;
mod membership;
mod never_led;
mod quorum_view;
mod reconcile;
mod requested_removals;
mod rolled_back;
mod running;
mod starting;
mod tickets;
mod voices;

use std::borrow::Cow;

use blocked::Blocked;
use cause::Cause;
use quorum_view::QuorumView;
use std::sync::Arc;

use crate::{
    Cluster, Instruction, Liveness, Member, NodeState, Reason, RecordedRefusal, Report, Task, Transition, UnixMillis,
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
///
/// A member that seems to be dead or gone is removed on a recent view only. With an older one, the node looks again.
pub fn plan(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let plan = plan_on_view(cluster, liveness, report, now);
    let is_because_silent = matches!(plan.instruction.task, Task::RemoveMember { .. })
        && matches!(plan.instruction.reason, Reason::Dead | Reason::LostDisk | Reason::AbandonedLearner);
    if !is_because_silent || liveness.is_recent_view(report, now) {
        return plan;
    }
    plan_on_view(cluster, liveness, &Report { view: None, ..report.clone() }, now)
}

fn plan_on_view(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut planner = Planner::new(cluster, liveness, report, now);
    let instruction = planner.decide();
    Plan { instruction, change: planner.draft.finish() }
}

/// One decision.
struct Planner<'a> {
    /// The cluster, with the changes so far.
    draft: ClusterDraft<'a>,
    /// The failure detector, with what the report shows of other members.
    liveness: Cow<'a, Liveness>,
    report: &'a Report,
    now: UnixMillis,
    /// The changes of other members that the report's view shows, and that no second node has confirmed.
    unconfirmed: Vec<String>,
}

/// An instruction that takes the node further, or why there is none.
type Decision = Result<Instruction, Blocked>;

impl<'a> Planner<'a> {
    fn new(cluster: &'a Cluster, liveness: &'a Liveness, report: &'a Report, now: UnixMillis) -> Self {
        let liveness = Cow::Borrowed(liveness);
        Self { draft: ClusterDraft::new(cluster, now), liveness, report, now, unconfirmed: Vec::new() }
    }
}

impl Planner<'_> {
    fn decide(&mut self) -> Instruction {
        if self.liveness.is_overtaken(self.report) {
            return self.explain(&Blocked::Overtaken);
        }
        if let Some(refusal) = RecordedRefusal::of_report(self.report, &self.draft.refusals, self.now) {
            self.draft.record_refusal(refusal);
        }
        self.reconcile_with_view();
        self.reconcile_with_leftover();
        if let Some(liveness) = self.liveness.with_sight(&self.draft, self.report, self.now) {
            self.liveness = Cow::Owned(liveness);
        }
        self.hold_founding_on_evidence();
        self.release_hold_if_disks_are_back();
        self.release_hold_if_founded();
        self.end_downtimes();
        self.release_done_or_stalled_ticket();
        let mut instruction = self.decide_by_state();
        if self.holds_idle_ticket(&instruction) {
            self.draft.release("not needed now");
            instruction = self.decide_by_state();
        }
        self.note_failing_member(&instruction);
        self.end_founding();
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
        let may_use_it = |member: &&Arc<Member>| {
            *member.name() == self.report.name || member.shared_peer_url(&self.report.peer_urls).is_some()
        };
        if let Some(user) = self.draft.members().filter(may_use_it).find(|member| view.is_up(member)) {
            return Err(Blocked::UnreadableDataInUse { member: user.label() });
        }
        Ok(self.instruct(Task::ArchiveData, Cause::UnreadableData { found }))
    }

    /// A member other than `own` that has the node's name or one of its peer URLs on record, and which of the two.
    fn identity_conflict(&self, own: &Member) -> Option<(Blocked, Arc<Member>)> {
        let mut others = self.draft.members().filter(|member| member.key != own.key);
        others.find_map(|other| {
            let conflict = self.name_conflict(other).or_else(|| self.peer_url_conflict(other))?;
            Some((conflict, other.clone()))
        })
    }

    /// Whether another member has the node's name in etcd's list, or is at the node's peer URL. A member that checks in
    /// from elsewhere has left that URL.
    fn is_real_conflict(&self, conflict: &Blocked, other: &Member, view: &QuorumView<'_>) -> bool {
        let Blocked::PeerUrlTaken { .. } = conflict else { return true };
        let urls = &self.report.peer_urls;
        view.is_up(other) && !self.liveness.has_moved_from(&self.draft.policy, other, urls, self.now)
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
