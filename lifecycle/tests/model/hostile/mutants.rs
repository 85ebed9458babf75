//! Servers without one of the rules of evidence, and one that lies.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use convene_lifecycle::{
    Cluster, ExpectedMember, Liveness, MemberId, NodeState, Plan, Reason, Report, Task, Terms, Ticket, UnixMillis,
    View, plan,
};

/// Rule 1: archives the data of a member that the registry's record does not have any more.
pub fn archives_on_record(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    if let NodeState::Stopped(own) = report.state
        && cluster.formed.is_some()
        && cluster.member(&own.member.into()).is_none()
    {
        (plan.instruction.task, plan.instruction.reason) = (Task::ArchiveData, Reason::RemovedMember);
    }
    plan
}

/// Rule 2: does not look for other nodes that run as the same member.
pub fn starts_copies(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut alone = liveness.clone();
    alone.nodes.clear();
    let mut blind = report.clone();
    let own = report.identity().filter(|_| !report.is_running()).map(|own| own.member);
    for view in blind.view.iter_mut() {
        view.members.iter_mut().filter(|seen| Some(seen.id) == own).for_each(|seen| seen.identified = false);
        let other = view.members.iter().find(|seen| Some(seen.id) != own).map(|seen| seen.id);
        view.leader = view.leader.filter(|leader| Some(*leader) != own).or(other);
    }
    plan(cluster, &alone, &blind, now)
}

/// Rule 3: takes the probes of one spare for enough.
pub fn trusts_a_spare(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut trusting = cluster.clone();
    trusting.policy.witnesses = 1;
    plan(&trusting, liveness, report, now)
}

/// Rule 4: takes every check-in for a sign of life.
pub fn trusts_every_check_in(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut trusting = cluster.clone();
    trusting.policy.max_failed_starts = 1_000;
    plan(&trusting, liveness, report, now)
}

/// Rule 5: leaves a ticket to a holder that gets nowhere.
pub fn waits_for_tickets(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut patient = cluster.clone();
    if let Some(ticket) = patient.ticket.as_mut().filter(|ticket| liveness.nodes.contains_key(&ticket.holder)) {
        ticket.progress_at = now;
    }
    plan(&patient, liveness, report, now)
}

/// Rule 6: founds a cluster although another one may exist.
pub fn ignores_holds(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    plan(&Cluster { held: None, ..cluster.clone() }, liveness, report, now)
}

/// Rule 6: takes a node without data for one that has never had any, whatever disk it is on.
pub fn ignores_disks(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    plan(cluster, liveness, &Report { disk: None, ..report.clone() }, now)
}

/// Rule 7: promotes a learner whose peer URL no voter reaches.
pub fn promotes_out_of_reach(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut kind = report.clone();
    let learners = kind.view.iter_mut().flat_map(|view| &mut view.members).filter(|seen| seen.learner);
    learners.for_each(|seen| (seen.reachable, seen.round_trips) = (true, Some(1)));
    plan(cluster, liveness, &kind, now)
}

/// Rule 8: takes every WAL for one that may have had a leader.
pub fn keeps_never_led_data(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut report = report.clone();
    report.data.never_led = false;
    plan(cluster, liveness, &report, now)
}

/// Rules 1 and 8: takes data of an attempt that was given up because of reports for data that an administrator has given up. The clients
/// do not report their disks, so that reports can end an attempt.
pub fn trusts_what_it_gave_up(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = ignores_disks(cluster, liveness, report, now);
    let after = plan.change.as_mut().and_then(|change| change.after.as_mut());
    if let Some(after) = after.filter(|after| after.epoch > cluster.epoch) {
        after.earlier_cluster_ids.extend(cluster.cluster_id);
    }
    plan
}

/// A server that lies every other time. Its terms are right, so that only the client's own verification is in the way.
pub fn lies(cluster: &Cluster, liveness: &Liveness, report: &Report, now: UnixMillis) -> Plan {
    let mut plan = plan(cluster, liveness, report, now);
    let choice = BuildHasherDefault::<DefaultHasher>::default().hash_one((&report.run, report.sequence, now));
    if let Some((task, reason)) = lie(cluster, report, choice) {
        (plan.instruction.task, plan.instruction.reason) = (task, reason);
    }
    plan
}

fn lie(cluster: &Cluster, report: &Report, choice: u64) -> Option<(Task, Reason)> {
    let own = report.identity();
    let terms = || Some(terms(cluster, report.view.as_ref()?));
    match choice % 12 {
        0 if own.is_some() => Some((Task::ArchiveData, Reason::RemovedMember)),
        1 if own.is_some() => Some((Task::ArchiveData, Reason::ForeignData)),
        2 if own.is_some() => Some((Task::ArchiveData, Reason::EarlierEpoch)),
        3 if own.is_some() && !report.is_running() => Some((Task::Start(None), Reason::OwnData)),
        4 => {
            let (member, peer_urls) = (own?.member.into(), report.peer_urls.clone());
            Some((Task::UpdateMember { member, peer_urls, terms: terms()? }, Reason::AddressChanged))
        }
        5 | 6 => {
            let ids: Vec<MemberId> = report.view.as_ref()?.members.iter().map(|seen| seen.id).collect();
            let victim = *ids.get((choice / 12) as usize % ids.len().max(1))?;
            Some((Task::RemoveMember { member: victim.into(), terms: terms()? }, Reason::Dead))
        }
        _ => None,
    }
}

fn terms(cluster: &Cluster, view: &View) -> Terms {
    let expected = view.members.iter().map(|seen| ExpectedMember { id: seen.id, learner: seen.learner });
    let mut expect: Vec<ExpectedMember> = expected.collect();
    expect.sort_unstable();
    Terms { ticket: cluster.tickets, act_within: Ticket::ACT_WITHIN, expect, witnesses: 2 }
}
