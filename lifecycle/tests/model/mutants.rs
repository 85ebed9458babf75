//! Planners that are broken on purpose, to show that the model check detects it. Each is the real planner without one of its
//! rules.

use std::sync::Arc;

use convene_lifecycle::{
    Cluster, ExpectedMember, Founder, Instruction, Liveness, Member, MemberLiveness, Plan, Reason, Report, Task, Terms,
    Ticket, UnixMillis, plan,
};

use crate::clock::OLD;

/// Adds the new member before it removes the dead one.
pub fn adds_before_it_removes(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if let Task::RemoveMember { terms, .. } = &plan.instruction.task
        && report.identity().is_none()
    {
        let (peer_urls, terms) = (report.peer_urls.clone(), terms.clone());
        plan.instruction.task = Task::AddMember { peer_urls, learner: false, terms };
    }
    plan
}

/// Treats a member as dead after one failed probe.
pub fn trusts_one_probe(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut doctored = liveness.clone();
    for seen in report.view.iter().flat_map(|view| &view.members).filter(|seen| !seen.reachable) {
        let series = Some((OLD, now));
        let dead = MemberLiveness { failing: series, unreached_by_voters: series, ..MemberLiveness::default() };
        doctored.members.insert(seen.id.into(), dead);
        doctored.nodes.retain(|name, _| Some(name) != seen.name.as_ref());
    }
    plan(cluster, &doctored, report, now)
}

/// Removes an evicted member even if that costs the quorum.
pub fn ignores_the_risk(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    let evicted = cluster.members().find(|member| member.eviction.is_some());
    if let (Reason::QuorumAtRisk, Some(evicted)) = (plan.instruction.reason, evicted) {
        plan.instruction = remove(cluster, evicted, plan.instruction);
    }
    plan
}

/// Grants a ticket to every node that asks.
pub fn forgets_tickets(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let cluster = Cluster { ticket: None, ..cluster.clone() };
    plan(&cluster, liveness, report, now)
}

/// Issues `bootstrap` to a founder as often as it asks.
pub fn reissues_bootstraps(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut cluster = cluster.clone();
    for member in &mut cluster.record {
        let founder = member.founder.as_ref().map(|_| Founder::default());
        Arc::make_mut(member).founder = founder;
    }
    plan(&cluster, liveness, report, now)
}

/// Sets a member's own data aside.
pub fn archives_good_data(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if plan.instruction.reason == Reason::OwnData {
        plan.instruction.task = Task::ArchiveData;
    }
    plan
}

/// Removes a member that is alive to make room for a spare.
pub fn makes_room(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if let (Task::StandBy, Some(first)) = (&plan.instruction.task, cluster.voters().next()) {
        plan.instruction = remove(cluster, first, plan.instruction);
    }
    plan
}

/// Adds every node as a voter, even the second: the first has no quorum until the second has started.
pub fn adds_voters_only(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if let Task::AddMember { learner, .. } = &mut plan.instruction.task {
        *learner = false;
    }
    plan
}

/// Never promotes a learner.
pub fn never_promotes(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if matches!(plan.instruction.task, Task::Promote { .. }) {
        plan.instruction.task = Task::Wait;
    }
    plan
}

/// Leaves every learner to its own node.
pub fn leaves_learners_alone(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if matches!(plan.instruction.task, Task::Promote { .. }) && report.identity().is_none() {
        plan.instruction.task = Task::Wait;
    }
    plan
}

fn remove(cluster: &Cluster, member: &Member, instruction: Instruction) -> Instruction {
    let expected = cluster
        .members()
        .filter_map(|member| Some(ExpectedMember { id: member.key.id()?, learner: !member.is_voter() }));
    let mut expect: Vec<ExpectedMember> = expected.collect();
    expect.sort_unstable();
    let terms = Terms { ticket: cluster.tickets, act_within: Ticket::ACT_WITHIN, expect, witnesses: 2 };
    Instruction { task: Task::RemoveMember { member: member.key.clone(), terms }, ..instruction }
}
