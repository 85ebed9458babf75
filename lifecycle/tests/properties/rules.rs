use std::{collections::HashSet, time::Duration};

use convene_lifecycle::{
    Cluster, ExpectedMember, Instruction, Liveness, Member, MemberKey, NodeState, ObservedMember, Reason, Report,
    ReportedState, Strategy, Task, Terms, Ticket, UnixMillis,
};
use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};

type Checked = Result<(), TestCaseError>;

/// Checks the rules for every instruction. The planner decided on `before` and `liveness`; `after` is the cluster after the
/// plan.
pub fn check(
    before: &Cluster,
    liveness: &Liveness,
    report: &Report,
    now: UnixMillis,
    instruction: &Instruction,
    after: &Cluster,
) -> Checked {
    let Instruction { task, reason, .. } = instruction;
    let liveness = &liveness.with_sight(after, report, now).unwrap_or_else(|| liveness.clone());
    let up = |but: Option<&MemberKey>| {
        after.voters().filter(|voter| Some(&voter.key) != but && is_connected(liveness, report, voter, now)).count()
    };
    prop_assert!(reason.tasks().contains(&task.as_str()), "{reason} comes with {}", task.as_str());
    check_join_overrides(before, report, task, after)?;
    if let Some(terms) = task.terms() {
        check_terms(terms, report, after)?;
        prop_assert!(!after.policy.paused, "a paused cluster's membership changes");
    }
    match task {
        Task::RemoveMember { member, .. } | Task::Leave { member, .. } => {
            let member = after.member(member).expect("only a member is removed");
            check_quorum_without(member, up(Some(&member.key)), after)?;
            check_reason_to_remove(member, *reason, liveness, report, now, after)?;
        }
        Task::AddMember { .. } if !version_fits(report, after) => {
            prop_assert!(before.ticket == after.ticket, "a node gets the ticket with an etcd that can't join");
        }
        Task::AddMember { learner: false, .. } => {
            let voters = after.voters().count();
            prop_assert!(up(None) >= quorum(voters + 1), "a voter is added that may cost the quorum");
        }
        Task::Promote { member, .. } => {
            let learner = after.member(member).expect("only a member is promoted");
            prop_assert!(!learner.is_voter() && is_up(report, learner));
            let voters = after.voters().count();
            prop_assert!(up(None) + 1 >= quorum(voters + 1), "a promotion may cost the quorum");
            let seen = seen(report, learner).expect("the learner was observed");
            let is_witness = after.policy.witnesses == 1 || is_by_running_voter(report);
            let by_etcd = seen.round_trips.map_or(is_witness, |round_trips| round_trips > 0);
            let is_reached = look_of_leaders_agent(learner, liveness, report, now, after).unwrap_or(by_etcd);
            prop_assert!(is_reached, "nobody reaches the learner");
        }
        Task::ArchiveData => check_archive(report, *reason, after)?,
        Task::Start(_) => prop_assert!(!answers_elsewhere(report), "two processes run as one member"),
        Task::UpdateMember { .. } => {
            prop_assert!(report.is_running() || !answers_elsewhere(report), "a running member's address is taken over");
        }
        Task::Bootstrap(_) => check_bootstrap(before, report, after)?,
        Task::Join(_) => prop_assert!(matches!(report.state, NodeState::Empty)),
        _ => {}
    }
    Ok(())
}

/// A join override only restricts the node, or raises the size of the cluster.
fn check_join_overrides(before: &Cluster, report: &Report, task: &Task, after: &Cluster) -> Checked {
    if after.size != before.size {
        prop_assert!(after.size > before.size && report.size == Some(after.size), "a report sets another size");
        prop_assert!(after.formed.is_some() && !after.policy.paused && report.identity().is_none());
    }
    let joins = report.identity().is_none() && !report.leaving;
    let changes = task.terms().is_some() && joins;
    prop_assert!(!(changes && report.strategy == Some(Strategy::Prepared)), "a prepared node changes membership");
    if let Task::AddMember { .. } = task {
        let size = report.size.unwrap_or(after.size).min(after.size).get() as usize;
        prop_assert!(after.members().count() < size, "a node joins a cluster that is large enough");
    }
    if let (Task::RemoveMember { member, .. }, Some(Strategy::Add)) = (task, report.strategy)
        && joins
    {
        let member = after.member(member).expect("only a member is removed");
        prop_assert!(member.eviction.is_some(), "a node with strategy add removes a member");
    }
    Ok(())
}

/// The reporting node holds the ticket, and the terms expect the members on record.
fn check_terms(terms: &Terms, report: &Report, after: &Cluster) -> Checked {
    let ticket = after.ticket.as_ref().expect("a membership change needs the ticket");
    prop_assert_eq!((terms.ticket, &ticket.holder), (ticket.number, &report.name));
    let members = after.members().map(|member| (member.key.id().expect("etcd's IDs"), !member.is_voter()));
    let mut expect: Vec<ExpectedMember> = members.map(|(id, learner)| ExpectedMember { id, learner }).collect();
    expect.sort_unstable();
    prop_assert_eq!(&terms.expect, &expect);
    Ok(())
}

/// The voters that remain and answer are a quorum of those that remain.
fn check_quorum_without(member: &Member, up: usize, after: &Cluster) -> Checked {
    if member.is_voter() {
        let remaining = after.voters().count() - 1;
        prop_assert!(remaining > 0, "the last voter is removed");
        prop_assert!(up >= quorum(remaining), "a removal may cost the quorum");
    }
    Ok(())
}

/// A member that answers is removed only on request or if there are too many. One that does not answer is removed only if it
/// is dead or its own node requests it.
fn check_reason_to_remove(
    member: &Member,
    reason: Reason,
    liveness: &Liveness,
    report: &Report,
    now: UnixMillis,
    after: &Cluster,
) -> Checked {
    let own = report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
    let voters = after.voters().count();
    let size = after.size.get() as usize;
    match reason {
        Reason::Evicted => prop_assert!(member.eviction.is_some()),
        Reason::Leaving => prop_assert!(own || (is_at_its_place(member, report) && !is_up(report, member))),
        Reason::Shrink => {
            let is_older = |voter: &Member| after.size_lowered.is_some_and(|lowered| voter.created <= lowered);
            let older = after.voters().filter(|voter| is_older(voter)).count();
            prop_assert!(older > size && is_older(member) && member.is_voter(), "the size requests no removal of it");
        }
        Reason::Full => {
            let is_in_vain = after.setbacks.contains_key(member.name());
            prop_assert!(voters >= size && !member.is_voter() && (report.identity().is_some() || is_in_vain));
        }
        Reason::AddressChanged => prop_assert!(own && !member.is_voter()),
        Reason::LostDisk => {
            prop_assert!(is_at_its_place(member, report));
            prop_assert!(!is_up(report, member));
        }
        // It answers, but no voter reaches it.
        Reason::AbandonedLearner if is_up(report, member) => {
            let contact = liveness.members.get(&member.key).copied().unwrap_or_default();
            let unreached = contact.unreached_by_voters.is_some_and(|(first, _)| first.age(now) >= Ticket::LEASE);
            let round_trips = seen(report, member).and_then(|seen| seen.round_trips);
            prop_assert!(!member.is_voter() && unreached && round_trips == Some(0));
        }
        // Its node lost the ticket without progress, so it need not be dead.
        Reason::AbandonedLearner if after.setbacks.contains_key(member.name()) => {
            prop_assert!(!is_up(report, member) && !member.is_voter());
        }
        Reason::Dead | Reason::AbandonedLearner => {
            prop_assert!(!is_up(report, member));
            let contact = liveness.members.get(&member.key).copied().unwrap_or_default();
            let dead_after: Duration = after.policy.dead_after;
            let failing_since = contact.failing.map(|(first, _)| first);
            prop_assert!(failing_since.is_some_and(|first| first.age(now) >= dead_after), "not failing for long");
            let is_failing = contact.failed_starts >= after.policy.max_failed_starts;
            let others = contact.checked_in.max(contact.heard).filter(|_| !is_failing);
            let contacts = [others, contact.answered, Some(liveness.since)];
            prop_assert!(contacts.into_iter().flatten().all(|at| at.age(now) >= dead_after), "not silent for long");
            if member.is_voter() {
                let view = report.view.as_ref().expect("a membership change needs a view");
                prop_assert!(view.leader != member.key.id(), "the leader is removed as dead");
                let received = contact.received.map(|received| received.since);
                let unreached = contact.unreached_by_voters.map(|(first, _)| first);
                let inside = received.into_iter().chain(unreached).any(|since| since.age(now) >= dead_after);
                prop_assert!(
                    after.policy.witnesses == 1 || is_failing || inside,
                    "no voter's side shows that it is dead"
                );
            }
        }
        _ => prop_assert!(false, "{reason} is no reason to remove a member"),
    }
    Ok(())
}

/// Whether a node without data reports from the member's peer URLs.
fn is_at_its_place(member: &Member, report: &Report) -> bool {
    matches!(report.state, NodeState::Empty) && member.has_peer_urls(&report.peer_urls)
}

/// The data of a present member of this cluster is never set aside. Other data is only on a quorum that this node sees, unless
/// it is of an earlier epoch and was given up on the node or never had a leader.
fn check_archive(report: &Report, reason: Reason, after: &Cluster) -> Checked {
    let sees_quorum = report.view.as_ref().is_some_and(|view| {
        view.linearizable && view.leader.is_some() && view.cluster.is_some() && view.cluster == after.cluster_id
    });
    let is_given_up = report.data.never_led || report.accept_reset == Some(after.epoch);
    prop_assert!(sees_quorum || (reason == Reason::EarlierEpoch && is_given_up), "data is set aside on hearsay");
    if let Some(identity) = report.identity() {
        let is_ours = after.cluster_id == Some(identity.cluster);
        prop_assert!(!(is_ours && after.member(&identity.member.into()).is_some()), "a member's data is set aside");
    }
    Ok(())
}

/// Whether an etcd answers as the member of this node's data.
fn answers_elsewhere(report: &Report) -> bool {
    let Some((own, view)) = report.identity().zip(report.view.as_ref()) else { return false };
    view.cluster == Some(own.cluster) && view.members.iter().any(|seen| seen.id == own.member && seen.identified)
}

/// Only nodes without data bootstrap. Once the cluster is known to exist, only a founder that has not done so may bootstrap.
fn check_bootstrap(before: &Cluster, report: &Report, after: &Cluster) -> Checked {
    prop_assert!(matches!(report.state, NodeState::Empty));
    prop_assert!(after.formed.is_some());
    if before.bootstrapped.is_some() {
        prop_assert_eq!(before.epoch, after.epoch, "a cluster that exists is abandoned");
        let mut own = before.members().filter(|member| *member.name() == report.name);
        let may = own.any(|member| {
            let founder = member.founder.as_ref();
            founder.is_some_and(|founder| founder.issued.as_ref().is_none_or(|issued| issued.run == report.run))
        });
        prop_assert!(may, "a founder bootstraps again");
    }
    Ok(())
}

/// The record has each key once, in order, and ticket numbers only grow.
pub fn check_record(before: &Cluster, after: &Cluster) -> Checked {
    let keys: HashSet<&MemberKey> = after.record.iter().map(|member| &member.key).collect();
    prop_assert_eq!(keys.len(), after.record.len());
    prop_assert!(after.record.is_sorted_by_key(|member| member.created));
    prop_assert!(after.record.iter().all(|member| member.modified <= after.revision));
    prop_assert!(after.tickets >= before.tickets);
    if let Some(ticket) = &after.ticket {
        prop_assert!(ticket.number <= after.tickets);
        let is_old = before.ticket.as_ref().is_some_and(|old| {
            (old.number, &old.holder, &old.purpose) == (ticket.number, &ticket.holder, &ticket.purpose)
        });
        prop_assert!(is_old || ticket.number > before.tickets, "a ticket has the number of another");
    }
    Ok(())
}

/// Whether a voter counts towards the quorum: the leader hears it or, if that is not known, it answers.
fn is_connected(liveness: &Liveness, report: &Report, member: &Member, now: UnixMillis) -> bool {
    let leader = report.view.as_ref().and_then(|view| view.leader);
    let is_valid = |at: UnixMillis| at.age(now) <= Duration::from_secs(5);
    let received = liveness.members.get(&member.key).and_then(|contact| contact.received);
    match received.filter(|received| Some(received.leader) == leader && is_valid(received.last)) {
        _ if leader == member.key.id() => true,
        Some(received) if !is_valid(received.since) => false,
        Some(received) if received.heard => true,
        _ => is_up(report, member),
    }
}

fn seen<'a>(report: &'a Report, member: &Member) -> Option<&'a ObservedMember> {
    report.view.iter().flat_map(|view| &view.members).find(|seen| Some(seen.id) == member.key.id())
}

fn is_by_running_voter(report: &Report) -> bool {
    let own = report.identity().filter(|_| report.is_running()).map(|own| own.member);
    report.view.iter().flat_map(|view| &view.members).any(|seen| Some(seen.id) == own && !seen.learner)
}

/// Whether the node of the leader's member reaches a member's peer URLs, as it has reported lately.
fn look_of_leaders_agent(
    member: &Member,
    liveness: &Liveness,
    report: &Report,
    now: UnixMillis,
    after: &Cluster,
) -> Option<bool> {
    let leader = report.view.as_ref()?.leader?;
    let name = after.member(&leader.into())?.name();
    let (own, status) = match liveness.nodes.get(name) {
        _ if *name == report.name => (report.identity().filter(|_| report.is_running()), report.status.as_ref()),
        node => {
            let node = node.filter(|node| node.at.age(now) <= Duration::from_secs(20))?;
            (node.state.identity().filter(|own| node.state == ReportedState::Etcd(*own)), node.status.as_ref())
        }
    };
    let look = status?.reachability.iter().find(|look| Some(look.member) == member.key.id())?;
    look.peer.filter(|_| own.is_some_and(|own| own.member == leader))
}

/// Whether the node's etcd has the lowest version of the voters or the next one, as far as the versions are known.
fn version_fits(report: &Report, cluster: &Cluster) -> bool {
    let lowest = cluster.voters().filter_map(|voter| seen(report, voter)?.version).min();
    let minor = report.etcd_version.zip(lowest).map(|(own, lowest)| (own.minor, lowest.minor));
    minor.is_none_or(|(own, lowest)| own == lowest || own == lowest + 1)
}

fn is_up(report: &Report, member: &Member) -> bool {
    let view = report.view.as_ref().expect("a membership change needs a view");
    let own = report.is_running() && report.identity().map(|own| own.member.into()).as_ref() == Some(&member.key);
    own || view.members.iter().any(|seen| Some(seen.id) == member.key.id() && seen.reachable)
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}
