//! Decides what a node does next.
//!
//! Everything is decided anew from what is known: nothing depends on what a node was told before, save the few
//! facts that the cluster keeps (a ticket, that a founder was told to bootstrap). So an answer that gets lost is
//! simply given again, and a node that crashes carries on from what is true in etcd.

mod answer;
mod forming;
mod join_overrides;
mod joining;
mod membership;
mod quorum_view;
mod reconcile;
mod running;
mod starting;
mod tickets;

use crate::{
    Cluster, Instruction, Liveness, Member, NodeState, Reason, Report, Task, Transition, UnixMillis,
    cluster_draft::ClusterDraft,
};

/// What a check-in leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the node does next.
    pub instruction: Instruction,
    /// What changes in the registry, before the node is told; `None` means nothing.
    pub change: Option<Transition>,
}

/// Decides what the node that sent a report does next, and what the registry learns from it.
///
/// Pure: the same arguments give the same plan. `liveness` is who was heard of before this report. If the change is
/// made and the same report comes again, then the instruction is the same and there is nothing left to change.
pub fn plan(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut planner = Planner { draft: ClusterDraft::new(cluster, now), liveness, report, now };
    let instruction = planner.decide();
    Plan { instruction, change: planner.draft.finish() }
}

/// One decision on its way.
struct Planner<'a> {
    draft: ClusterDraft<'a>,
    liveness: &'a Liveness,
    report: &'a Report,
    now: UnixMillis,
}

impl Planner<'_> {
    fn decide(&mut self) -> Instruction {
        if self.liveness.is_overtaken(self.report) {
            return self.wait(Reason::Overtaken, "a later check-in of this node came first, and was answered");
        }
        self.reconcile_with_view();
        self.learn_from_left_overs();
        self.release_ended_ticket();
        let instruction = self.decide_by_state();
        if !self.holds_idle_ticket(&instruction) {
            return instruction;
        }
        self.draft.release("its holder has no use for it now");
        self.decide_by_state()
    }

    fn decide_by_state(&mut self) -> Instruction {
        match &self.report.state {
            NodeState::Empty if self.draft.formed.is_none() => self.form_cluster(),
            NodeState::Empty => self.join_cluster(),
            NodeState::Unreadable { found } => self.handle_unreadable_data(found),
            NodeState::Stopped(identity) => self.start_stopped(*identity),
            NodeState::Running(identity) => self.handle_running(*identity),
        }
    }

    /// Data that can't be read is never taken for no data: it may be all that is left of the cluster.
    fn handle_unreadable_data(&mut self, found: &str) -> Instruction {
        let found: String = found.chars().take(200).collect();
        if self.draft.formed.is_none() {
            let message = format!("the data directory holds data that can't be read ({found})");
            return self.refuse(
                Reason::UnreadableData,
                message,
                "find out whose data it is, and move it away if it is not needed",
            );
        }
        if self.report.leaving {
            let message =
                format!("the data can't be read ({found}), so that it can't be told whose member is to leave");
            let remedy = "evict the member by its name (PUT …/members/ID/eviction), or mend the data and leave again";
            return self.refuse(Reason::UnreadableData, message, remedy);
        }
        let view = match self.quorum_view() {
            Ok(view) => view,
            Err(instruction) => return *instruction,
        };
        if let Some(namesake) = self.draft.members().find(|member| member.name() == &self.report.name)
            && view.is_up(namesake)
        {
            let message = format!("member {} with this name answers, so the data may be in use", namesake.key);
            return self.refuse(Reason::NameTaken, message, "stop the etcd that runs, or use another name here");
        }
        let message = format!(
            "the data can't be read ({found}) and the cluster has its quorum without it; it is set aside, and the node \
             joins anew"
        );
        self.answer(Task::ArchiveData, Reason::UnreadableData, message)
    }

    /// Another member than `own` that has the node's name or one of its peer URLs, as a refusal.
    fn identity_conflict(&self, own: &Member) -> Option<Instruction> {
        let mut others = self.draft.members().filter(|member| member.key != own.key);
        others.find_map(|other| self.name_conflict(other).or_else(|| self.peer_url_conflict(other)))
    }

    fn name_conflict(&self, other: &Member) -> Option<Instruction> {
        let name = &self.report.name;
        (other.name() == name).then(|| {
            let message = format!("member {} has the name {name}", other.key);
            self.refuse(Reason::NameTaken, message, "give one of the two another name")
        })
    }

    fn peer_url_conflict(&self, other: &Member) -> Option<Instruction> {
        let url = other.shared_peer_url(&self.report.peer_urls)?;
        let message = format!("member {} ({}) has the peer URL {url}", other.key, other.name());
        Some(self.refuse(Reason::PeerUrlTaken, message, "give one of the two another peer URL"))
    }
}
