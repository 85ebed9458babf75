use std::{fmt::Display, time::Duration};

use super::{Clock, Health, Overview, age_of, health::age, is_present, moved, observers, waiting::waiting};
use crate::{
    one_line::one_line,
    registry::{Cluster, Held, Member, Node, Policy, Ticket},
    table::{Table, lines},
};

/// The overview for people.
pub fn to_text(overview: &Overview, clock: Clock) -> String {
    let warnings = exposed(overview).into_iter().chain(moved::warnings(overview)).chain(missing_witness(overview));
    let warnings = warnings.chain(reported_errors(overview, clock));
    let warnings: String = warnings.map(|warning| format!("Warning: {warning}\n")).collect();
    let spares = spare_table(overview, clock).map(|table| format!("\n{table}")).unwrap_or_default();
    let warnings = if warnings.is_empty() { warnings } else { format!("\n{warnings}") };
    format!("{}\n{}{spares}{warnings}", summary(overview, clock), member_table(overview, clock))
}

fn exposed(overview: &Overview) -> Option<String> {
    let warning = "the server runs with --auth off and --allow-unauthenticated: everybody who reaches it can change and delete all \
                   clusters; start it with --auth on";
    overview.is_exposed.then(|| warning.to_owned())
}

/// What the nodes report of their etcds: alarms, and why an etcd has ended or does not answer.
fn reported_errors(overview: &Overview, clock: Clock) -> impl Iterator<Item = String> {
    overview.nodes.iter().map(|node| &node.value).flat_map(move |node| {
        let errors = node.etcd.iter().flat_map(|etcd| &etcd.errors);
        errors.map(move |error| {
            format!("{} reported {}: {}", node.name, ago(&node.checked_in_at, clock), one_line(error.trim()))
        })
    })
}

/// The members as a table.
pub fn member_table(overview: &Overview, clock: Clock) -> String {
    let mut table = Table::new(&["NAME", "ID", "ROLE", "HEALTH", "AGE", "PEER URLS", "CLIENT URLS", "NOTES"]);
    for member in overview.members.iter().map(|member| &member.value) {
        let health = if member.removed { "" } else { Health::of(overview, member, clock).as_str() };
        table.row([
            member.name.to_string(),
            member.id.to_string(),
            member.role.clone(),
            health.to_owned(),
            age(overview, member, clock).map_or_else(|| "never".to_owned(), age_of),
            joined(&member.peer_urls),
            joined(&member.client_urls),
            notes(overview, member),
        ]);
    }
    table.with_headings()
}

/// The nodes that wait for a place.
fn spare_table(overview: &Overview, clock: Clock) -> Option<String> {
    let mut table = Table::new(&["SPARE", "STATE", "LAST CHECK-IN", "PEER URLS"]);
    let mut is_empty = true;
    for spare in overview.spares() {
        is_empty = false;
        let state = match is_present(overview, spare, clock) {
            // A node that was stopped for good stays in the list for a while.
            false => "silent",
            true if overview.is_evicted(spare) => "evicted",
            true => &spare.state,
        };
        table.row([
            spare.name.to_string(),
            state.to_owned(),
            ago(&spare.checked_in_at, clock),
            joined(&spare.peer_urls),
        ]);
    }
    (!is_empty).then(|| table.with_headings())
}

fn summary(overview: &Overview, clock: Clock) -> String {
    let cluster = &overview.cluster.value;
    let mut values = vec![
        ("Name", cluster.name.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("ID", cluster.shown_id()),
        ("Phase", phase(overview)),
        ("Size", format!("{} (has {})", cluster.size, count_members(cluster.voter_count, cluster.learner_count))),
        ("Epoch", cluster.epoch.to_string()),
        ("Revision", cluster.revision.to_string()),
        ("Cluster ID", cluster.cluster_id.map(|id| id.to_string()).unwrap_or_default()),
        ("Policy", policy_line(&cluster.policy)),
        ("Paused", yes_or_no(cluster.policy.paused).to_owned()),
        ("Ticket", cluster.ticket.as_ref().map_or_else(|| "none".to_owned(), |held| ticket(held, overview, clock))),
    ];
    // Only while it is true: hardly any cluster is ever held.
    values.extend(cluster.held.as_ref().map(|reason| ("Held", held(reason))));
    values.extend(quorum(overview).map(|quorum| ("Quorum", quorum)));
    values.extend(watch(overview, clock).map(|watch| ("Watched by", watch)));
    values.extend(waiting(overview, clock).map(|reasons| ("Waiting", reasons)));
    lines(&values)
}

/// A boolean in a table.
pub fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The phase. A cluster that stock etcds have formed stays `formed`, because no node reports that it exists.
fn phase(overview: &Overview) -> String {
    let Cluster { phase, .. } = &overview.cluster.value;
    let is_stock = phase == "formed" && overview.nodes.is_empty();
    if is_stock { format!("{phase} (no node has checked in, as with stock etcd)") } else { phase.clone() }
}

fn count_members(voters: u64, learners: u64) -> String {
    let plural = |count: u64, role: &str| if count == 1 { format!("1 {role}") } else { format!("{count} {role}s") };
    format!("{} and {}", plural(voters, "voter"), plural(learners, "learner"))
}

/// The policy as one line.
pub fn policy_line(policy: &Policy) -> String {
    let time = |seconds| humantime::format_duration(Duration::from_secs(seconds));
    format!(
        "{}, dead after {} of silence, confirmed by {}, check-in every {}, nodes join as {} with {}{}",
        policy.strategy,
        time(policy.dead_after_seconds),
        if policy.witnesses == 1 { "1 witness".to_owned() } else { format!("{} witnesses", policy.witnesses) },
        time(policy.check_in_every_seconds),
        if policy.learner { "learners" } else { "voters" },
        match policy.join.as_str() {
            "open" => "the discovery URL alone",
            "token" => "a join token",
            "certificate" => "a client certificate",
            other => other,
        },
        if policy.stock_writes.as_deref() == Some("allow") { ", v2 and v3 clients may write" } else { "" },
    )
}

/// The number and the holder of the ticket, since when, the change, and its last progress.
fn ticket(ticket: &Ticket, overview: &Overview, clock: Clock) -> String {
    let member = ticket.member_id.as_ref().map(|id| {
        let name = overview.members.iter().find(|member| member.value.id == *id).map(|member| &member.value.name);
        name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    });
    let purpose = match (ticket.purpose.as_str(), member) {
        ("join", Some(member)) => format!("join in place of {member}"),
        (purpose, Some(member)) => format!("{purpose} {member}"),
        (purpose, None) => purpose.to_owned(),
    };
    let progress = ticket.progress_at.as_deref().filter(|progress| *progress != ticket.granted_at);
    let progress = progress.map(|progress| format!("; last progress {}", ago(progress, clock))).unwrap_or_default();
    format!("{}, held by {} since {} to {purpose}{progress}", ticket.number, ticket.holder, ticket.granted_at)
}

/// Why nobody may found the cluster, and what an administrator can do.
fn held(held: &Held) -> String {
    let cluster = held.cluster_id.map(|id| format!(" of etcd cluster {id}")).unwrap_or_default();
    let node = held.node.as_ref().map(|node| format!(" by {node}")).unwrap_or_default();
    format!(
        "since {}: {}{cluster}{node}; run `convene cluster adopt` to take a running cluster over, or `convene cluster reset` to \
         form a new one",
        held.since, held.reason
    )
}

/// What this command has seen of the quorum.
fn quorum(overview: &Overview) -> Option<String> {
    let view = overview.view.as_ref()?;
    let voters = || view.members.iter().filter(|member| !member.learner);
    let (up, all) = (voters().filter(|voter| voter.reachable).count(), voters().count());
    let failures = overview.failures.as_ref().map(|failures| format!(": {failures}")).unwrap_or_default();
    if view.linearizable {
        let leader = view.leader.and_then(|leader| voters().find(|voter| voter.id == leader));
        let leader = leader.map_or_else(|| "unknown".to_owned(), |leader| leader.name.clone());
        return Some(format!("yes, seen from here: {up} of {all} voters answer, the leader is {leader}"));
    }
    if let Some(other) = overview.other_cluster() {
        return Some(format!(
            "unknown: of the addresses on record, only those of etcd cluster {other} answer{failures}"
        ));
    }
    if all == 0 {
        // Before etcd has started, there is nothing to see.
        return (overview.cluster.value.phase != "forming")
            .then(|| format!("unknown: no member answers from here{failures}"));
    }
    Some(format!("no, seen from here: {up} of {all} voters answer{failures}"))
}

/// Warns if the voters' side can't be seen from here, without which no spare removes a voter. Nodes see what this command
/// sees, unless a firewall treats them differently.
fn missing_witness(overview: &Overview) -> Option<String> {
    let view = overview.view.as_ref()?;
    let leader = view.members.iter().find(|member| Some(member.id) == view.leader)?;
    let mut peers = view.members.iter().filter(|member| member.id != leader.id && !member.learner).peekable();
    let is_missing = peers.peek().is_some() && peers.all(|member| member.received_bytes.is_none());
    (is_missing && overview.cluster.value.policy.witnesses > 1).then(|| {
        format!(
            "the metrics of the leader {} can't be read from here ({}/metrics). Without the metrics, no spare \
             replaces a dead voter, unless the policy has `witnesses: 1`",
            leader.name,
            leader.client_urls.first().map(ToString::to_string).unwrap_or_default()
        )
    })
}

/// Who would notice a failure, and since when.
fn watch(overview: &Overview, clock: Clock) -> Option<String> {
    if overview.cluster.value.phase == "forming" {
        return None;
    }
    let watchers: Vec<String> = observers(overview, clock).map(|node| watcher(node, clock)).collect();
    let silent = silent_members(overview, clock);
    let watched_by = if watchers.is_empty() { "nobody".to_owned() } else { watchers.join(", ") };
    // A spare takes the place of a member only while the others have a quorum.
    if !silent.is_empty() {
        return Some(format!(
            "{watched_by}; no member answers from here, and no node of a member has checked in recently: first start \
             the {} of {}",
            if silent.len() == 1 { "node" } else { "nodes" },
            silent.join(", ")
        ));
    }
    let remedy = "no node would notice a failure; start `convene run` on one more node, as a spare";
    Some(if watchers.is_empty() { format!("{watched_by}: {remedy}") } else { watched_by })
}

/// The members, if none of them answers.
fn silent_members(overview: &Overview, clock: Clock) -> Vec<&str> {
    let members = overview.members.iter().map(|member| &member.value).filter(|member| !member.removed);
    let is_down = |member: &Member| matches!(Health::of(overview, member, clock), Health::Silent | Health::Failing);
    let names = members.map(|member| is_down(member).then_some(member.name.as_str()));
    names.collect::<Option<_>>().unwrap_or_default()
}

fn watcher(node: &Node, clock: Clock) -> String {
    let last = ago(&node.checked_in_at, clock);
    match &node.run_started_at {
        Some(since) => format!("{} since {since} (last check-in {last})", node.name),
        None => format!("{} (last check-in {last})", node.name),
    }
}

fn notes(overview: &Overview, member: &Member) -> String {
    let removed = member.removed.then(|| "removed".to_owned());
    let evicted = member.evicted_at.as_ref().map(|since| format!("evicted since {since}"));
    let down = member.downtime_until.as_ref().map(|until| match member.announced_its_downtime() {
        true => format!("downtime until {until} or until it is back"),
        false => format!("downtime until {until}"),
    });
    let starts = Some(member.failed_starts).filter(|starts| *starts > 0);
    let starts = starts.map(|starts| match starts {
        1 => "1 failed start".to_owned(),
        starts => format!("{starts} failed starts"),
    });
    let leader = overview.view.as_ref().and_then(|view| view.leader);
    let leads = leader.filter(|leader| leader.to_string() == member.id.as_str()).map(|_| "leader".to_owned());
    [removed, leads, evicted, down, starts, instead(overview, member)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Which other member answers at the member's client URLs.
fn instead(overview: &Overview, member: &Member) -> Option<String> {
    let view = overview.view.as_ref()?;
    let other = overview.observed(member)?.instead?;
    let known = view.members.iter().find(|known| known.id == other.member && view.cluster_id == Some(other.cluster));
    Some(match known {
        Some(known) => format!("{} ({}) answers there", known.name, known.id),
        None => format!("member {} of cluster {} answers there", other.member, other.cluster),
    })
}

fn ago(time: &str, clock: Clock) -> String {
    clock.since(time).map_or_else(|| time.to_owned(), |age| format!("{} ago", age_of(age)))
}

fn joined(urls: &[impl Display]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
