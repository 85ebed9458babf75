use std::{collections::HashMap, sync::Arc};

use convene_lifecycle::{Cluster, ClusterSize, Event, Member, MemberName, PeerUrl, Registration, Revision, Subject};

use super::problems::Place;
use crate::store::ClusterDump;

/// Reports fields of a cluster that contradict each other. The registry itself never breaks these rules, and relies on them.
pub fn check(dump: &ClusterDump, place: &mut Place<'_>) {
    let ClusterDump { cluster, events, .. } = dump;
    check_cluster(cluster, place);
    for (n, member) in cluster.record.iter().enumerate() {
        check_member(member, cluster.revision, &mut place.inside(format_args!("members[{n}]")));
    }
    check_roster(cluster, place);
    check_history(cluster, events, place);
}

/// Reads a revision. Revisions count from 1, and databases store them as signed integers.
pub fn revision(number: u64) -> Result<Revision, String> {
    let is_one = (1..=i64::MAX as u64).contains(&number);
    if is_one { Ok(Revision(number)) } else { Err(format!("is {number} and must be from 1 to {}", i64::MAX)) }
}

fn check_cluster(cluster: &Cluster, place: &mut Place<'_>) {
    let at = ("revision", cluster.revision);
    let size_modified = ("size_modified_revision", cluster.size_modified);
    in_order(place, &[("size_created_revision", cluster.size_created), size_modified, at]);
    if let Some(lowered) = cluster.size_lowered {
        in_order(place, &[("size_lowered_revision", lowered), size_modified]);
    }
    let formed = cluster.formed.map(|formed| ("formed_revision", formed));
    let bootstrapped = cluster.bootstrapped.map(|bootstrapped| ("bootstrapped_revision", bootstrapped));
    in_order(place, &[formed, bootstrapped, Some(at)].into_iter().flatten().collect::<Vec<_>>());
    written(place, "size_version", cluster.size_version);
    if cluster.formed.is_none() {
        let without = [
            ("formed_at", cluster.formed_at.is_some()),
            ("bootstrapped_revision", cluster.bootstrapped.is_some()),
            ("cluster_id", cluster.cluster_id.is_some()),
        ];
        for (field, _) in without.into_iter().filter(|(_, is_there)| *is_there) {
            place.inside(field).wrong("must be null while formed_revision is null");
        }
    }
    if !cluster.record.is_empty() && cluster.first_registered_at.is_none() {
        place
            .inside("first_registered_at")
            .wrong("is null, but there are members; must be the time of the first registration");
    }
    if cluster.epoch.0 == 0 {
        place.inside("epoch").wrong("is 0 and must be 1 or more");
    }
    for (name, count) in [("tickets", cluster.tickets), ("refusal_count", cluster.refusal_count)] {
        if count > i64::MAX as u64 {
            place.inside(name).wrong(format_args!("is {count} and must be at most {}", i64::MAX));
        }
    }
    if let Some(ticket) = &cluster.ticket
        && (ticket.number != cluster.tickets || ticket.number == 0)
    {
        let (number, tickets) = (ticket.number, cluster.tickets);
        let what = format!("is {number} and must be {tickets}, the value of tickets: only the last ticket can be held");
        place.inside("ticket.number").wrong(what);
    }
}

fn check_member(member: &Member, now: Revision, place: &mut Place<'_>) {
    let (created, modified) = (("created_revision", member.created), ("modified_revision", member.modified));
    let at = ("the cluster's revision", now);
    in_order(place, &[created, ("registered_revision", member.registered), modified, at]);
    if let Some(removal) = member.removed {
        in_order(place, &[created, ("removed.revision", removal.at), modified]);
    }
    written(place, "version", member.version);
}

/// Checks that the record has each member once and in order, and, while the cluster forms, no two members that etcd would take
/// for the same one. Later the record follows etcd's own member list.
fn check_roster(cluster: &Cluster, place: &mut Place<'_>) {
    let mut keys = HashMap::new();
    let mut names: HashMap<&MemberName, usize> = HashMap::new();
    let mut urls: HashMap<&PeerUrl, usize> = HashMap::new();
    let mut last = Revision(0);
    for (n, member) in cluster.record.iter().enumerate() {
        let mut place = place.inside(format_args!("members[{n}]"));
        if let Some(other) = keys.insert(&member.key, n) {
            place.inside("id").wrong(format_args!("{} is also the id of members[{other}]", member.key));
        }
        if member.created <= last {
            let (created, what) = (member.created, "must be greater than that of the previous member, ");
            place.inside("created_revision").wrong(format_args!("is {created} and {what}{last}"));
        }
        last = last.max(member.created);
        if member.removed.is_some() || cluster.bootstrapped.is_some() {
            continue;
        }
        if let Some(other) = names.insert(member.name(), n) {
            let what = format!(
                "{} is also the name of members[{other}]; while the cluster forms, names must be unique",
                member.name()
            );
            place.inside("name").wrong(what);
        }
        for url in &member.registration.peer_urls {
            if let Some(other) = urls.insert(url, n).filter(|other| *other != n) {
                let what = format!(
                    "{url} is also a peer URL of members[{other}]; while the cluster forms, peer URLs must be \
                             unique"
                );
                place.inside("peer_urls").wrong(what);
            }
        }
    }
}

/// Checks that the events have no gaps up to the cluster's revision: watches read them by revision.
fn check_history(cluster: &Cluster, events: &[Arc<Event>], place: &mut Place<'_>) {
    for (n, pair) in events.windows(2).enumerate() {
        let (right, found) = (pair[0].revision.next(), pair[1].revision);
        if found != right {
            let what = format!("is {found} and must be {right}, the one after the previous event");
            place.inside(format_args!("events[{}].revision", n + 1)).wrong(what);
        }
    }
    match events.last() {
        None => place.inside("events").wrong("must contain at least the last event of the cluster"),
        Some(last) if last.revision != cluster.revision => {
            let what = format!("is {} and must be the cluster's revision, {}", last.revision, cluster.revision);
            place.inside(format_args!("events[{}].revision", events.len() - 1)).wrong(what);
        }
        Some(_) => {}
    }
    for (n, event) in events.iter().enumerate() {
        check_event(event, &mut place.inside(format_args!("events[{n}]")));
    }
}

fn check_event(event: &Event, place: &mut Place<'_>) {
    in_order(place, &[("created_revision", event.created), ("revision", event.revision)]);
    let values = [("value", event.value.as_deref()), ("previous.value", previous_value(event))];
    for (field, value) in values.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        match &event.subject {
            Subject::Size => {
                let size = value.parse().ok().and_then(ClusterSize::new);
                place.field(field, size.ok_or_else(|| format!("{value:?} must be a size, such as \"3\"")));
            }
            Subject::Member(_) => drop(place.field(field, Registration::parse_of_any_length(value))),
            Subject::Cluster | Subject::Lifecycle(_) => {}
        }
    }
    if event.version > i64::MAX as u64 || event.value.is_some() && event.version == 0 {
        let version = event.version;
        place.inside("version").wrong(format_args!("is {version} and must be 1 or more, or 0 without a value"));
    }
    if let Some(previous) = &event.previous {
        let (created, modified) = (("created_revision", previous.created), ("modified_revision", previous.modified));
        let mut place = place.inside("previous");
        in_order(&mut place, &[created, modified, ("the event's revision", event.revision)]);
        written(&mut place, "version", previous.version);
    }
}

fn previous_value(event: &Event) -> Option<&str> {
    event.previous.as_ref()?.value.as_deref()
}

/// Checks a counter of writes of something that exists.
fn written(place: &mut Place<'_>, field: &str, version: u64) {
    if let Err(what) = revision(version) {
        place.inside(field).wrong(what);
    }
}

/// Checks that each revision is at most the next one in the list.
fn in_order(place: &mut Place<'_>, revisions: &[(&str, Revision)]) {
    for pair in revisions.windows(2) {
        let [(field, found), (limit, most)] = [pair[0], pair[1]];
        if found > most {
            place.inside(field).wrong(format_args!("is {found} and must be at most {limit}, {most}"));
        }
    }
}
