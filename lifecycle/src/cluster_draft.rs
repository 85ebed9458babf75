use std::{borrow::Cow, fmt::Display, ops::Deref};

use crate::{
    Action, Cluster, ClusterId, ClusterSize, Event, EventKind, Founder, Held, HoldReason, Member, MemberKey,
    MemberName, Protocol, Purpose, RecordedRefusal, Removal, Report, Setback, StartIssued, Subject, Ticket, Transition,
    UnixMillis,
    cluster::{KeyChange, KeyState, previous_member},
};

/// The most setbacks that a cluster keeps. It takes a ticket and some seconds to get one.
const MAX_SETBACKS: usize = 100;

/// A cluster while it changes. Each change takes a revision and leaves an event.
///
/// It derefs to the cluster with the changes so far. Nothing is copied before the first change.
pub(crate) struct ClusterDraft<'a> {
    base: &'a Cluster,
    changed: Option<Box<Cluster>>,
    events: Vec<Event>,
    now: UnixMillis,
}

impl Deref for ClusterDraft<'_> {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.changed.as_deref().unwrap_or(self.base)
    }
}

impl<'a> ClusterDraft<'a> {
    pub fn new(base: &'a Cluster, now: UnixMillis) -> Self {
        Self { base, changed: None, events: Vec::new(), now }
    }

    /// All changes as one transition. `None` if nothing has changed.
    pub fn finish(self) -> Option<Transition> {
        let after = self.changed?;
        Some(Transition { after: Some(*after), events: self.events })
    }

    /// The time of the changes.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// Makes a change that v2 and v3 discovery don't see.
    pub fn change(&mut self, kind: EventKind, message: impl Into<Cow<'static, str>>, edit: impl FnOnce(&mut Cluster)) {
        self.commit(kind, message, KeyChange::invisible(None, self.revision.next()), edit);
    }

    /// Leaves an event about a member, without a change that v2 and v3 discovery see.
    pub fn note(&mut self, member: &Member, kind: EventKind, message: String) {
        self.commit(kind, message, KeyChange::invisible(Some(member), self.revision.next()), |_| {});
    }

    /// Sets the size. This does not check whether the size may change.
    pub fn resize(&mut self, size: ClusterSize, message: String) {
        let version = self.size_version + 1;
        let change = KeyChange {
            action: Action::Update,
            subject: Subject::Size,
            after: KeyState { value: Some(size.to_string()), created: self.size_created, version },
            previous: Some(self.previous_size()),
        };
        self.commit(EventKind::SizeSet, message, change, |cluster| {
            cluster.size_lowered = cluster.lowered_by(size, cluster.revision);
            cluster.size = size;
            cluster.size_modified = cluster.revision;
            cluster.size_version = version;
        });
    }

    /// Adds a member that is not present.
    pub fn add(&mut self, member: Member, kind: EventKind, message: impl Into<Cow<'static, str>>) {
        let revision = self.revision.next();
        let Member { key, registration, .. } = &member;
        let fresh = Member::registered(key.clone(), registration.clone(), revision);
        let Member { created, modified, registered, version, removed, .. } = fresh;
        let member = Member { created, modified, registered, version, removed, ..member };
        let change = KeyChange {
            action: Action::Create,
            subject: Subject::Member(member.key.clone()),
            after: KeyState::of_member(&member),
            previous: None,
        };
        let now = self.now;
        self.commit(kind, message, change, |cluster| {
            cluster.first_registered_at = cluster.first_registered_at.or(Some(now));
            cluster.protocol = cluster.protocol.or(member.founder.is_some().then_some(Protocol::CheckIn));
            cluster.record = cluster.record_with(member);
        });
    }

    /// Changes a member on record. v2 and v3 discovery see it if its registration changes.
    pub fn update(
        &mut self,
        key: &MemberKey,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
        edit: impl FnOnce(&mut Member),
    ) {
        let Some(before) = self.record.iter().find(|member| member.key == *key).cloned() else { return };
        let mut member = Member::clone(&before);
        edit(&mut member);
        member.modified = self.revision.next();
        let change = if member.registration == before.registration {
            KeyChange::invisible(Some(&member), member.modified)
        } else {
            member.registered = member.modified;
            member.version += 1;
            KeyChange {
                action: Action::Update,
                subject: Subject::Member(key.clone()),
                after: KeyState::of_member(&member),
                previous: Some(previous_member(&before)),
            }
        };
        self.commit(kind, message, change, |cluster| cluster.record = cluster.record_with(member));
    }

    /// Removes a present member. `confirmed` is [`Removal::confirmed`].
    pub fn remove(&mut self, key: &MemberKey, confirmed: bool, message: impl Into<Cow<'static, str>>) {
        self.remove_with(key, Removal { at: self.revision.next(), confirmed, given_up: false }, message);
    }

    /// Records that an administrator has given a member up.
    pub fn give_up(&mut self, key: &MemberKey, message: impl Into<Cow<'static, str>>) {
        self.remove_with(key, Removal { at: self.revision.next(), confirmed: true, given_up: true }, message);
    }

    fn remove_with(&mut self, key: &MemberKey, removal: Removal, message: impl Into<Cow<'static, str>>) {
        let Some(before) = self.member(key).cloned() else { return };
        let revision = removal.at;
        let member = Member { modified: revision, removed: Some(removal), ..Member::clone(&before) };
        let change = KeyChange {
            action: Action::Delete,
            subject: Subject::Member(key.clone()),
            after: KeyState::deleted(member.created),
            previous: Some(previous_member(&before)),
        };
        self.commit(EventKind::MemberRemoved, message, change, |cluster| {
            cluster.record = cluster.record_with(member);
        });
    }

    /// Grants a node the ticket.
    pub fn grant(&mut self, holder: &MemberName, purpose: Purpose, why: &str) -> Ticket {
        let (number, now) = (self.tickets + 1, self.now);
        let ticket = Ticket { number, holder: holder.clone(), purpose, granted_at: now, progress_at: now };
        let message = format!("ticket {} granted to {holder} to {}: {why}", ticket.number, ticket.purpose.as_str());
        let granted = ticket.clone();
        self.change(EventKind::TicketGranted, message, |cluster| {
            cluster.tickets = granted.number;
            cluster.ticket = Some(granted);
        });
        ticket
    }

    /// Takes the ticket back.
    pub fn release(&mut self, why: &str) {
        self.release_and(why, |_, _| {});
    }

    /// Takes the ticket back, because its change is done.
    pub fn release_done(&mut self) {
        self.release_and("done", |cluster, ticket| {
            cluster.setbacks.remove(&ticket.holder);
        });
    }

    /// Takes the ticket back, because its change did not progress. Its holder goes last in line.
    pub fn release_without_progress(&mut self, why: &str) {
        let now = self.now;
        self.release_and(why, |cluster, ticket| {
            cluster.setbacks.retain(|_, setback| !setback.is_over(now));
            if cluster.setbacks.contains_key(&ticket.holder) || cluster.setbacks.len() < MAX_SETBACKS {
                let setback = cluster.setbacks.entry(ticket.holder.clone()).or_insert(Setback { count: 0, at: now });
                *setback = Setback { count: setback.count.saturating_add(1), at: now };
            }
        });
    }

    fn release_and(&mut self, why: &str, edit: impl FnOnce(&mut Cluster, &Ticket)) {
        let Some(ticket) = self.ticket.clone() else { return };
        let message = format!("ticket {} of {} released: {why}", ticket.number, ticket.holder);
        self.change(EventKind::TicketReleased, message, |cluster| {
            cluster.ticket = None;
            edit(cluster, &ticket);
        });
    }

    /// Records that the ticket's change has progressed, if the changes so far have done its next step. They leave events of
    /// their own.
    pub fn record_progress(&mut self) {
        let Some(cluster) = self.changed.as_deref_mut() else { return };
        let Some(before) = &self.base.ticket else { return };
        let is_next = before.purpose.step(self.base) != before.purpose.step(cluster);
        if let Some(ticket) = cluster.ticket.as_mut().filter(|ticket| is_next && ticket.number == before.number) {
            ticket.progress_at = self.now;
        }
    }

    /// Records that a founder is instructed to bootstrap, before it gets the instruction.
    pub fn record_bootstrap_issued(&mut self, key: &MemberKey, report: &Report) {
        let issued = StartIssued { run: report.run.clone(), at: self.now, disk: report.disk.clone() };
        let name = self.member(key).map_or_else(String::new, |member| member.name().to_string());
        self.update(key, EventKind::BootstrapTold, format!("{name} instructed to bootstrap"), |member| {
            member.founder = Some(Founder { issued: Some(issued), disk: None })
        });
    }

    /// Records that a run is instructed to join as a member without data, before it gets the instruction.
    pub fn record_join_issued(&mut self, key: &MemberKey, report: &Report) {
        let issued = StartIssued { run: report.run.clone(), at: self.now, disk: report.disk.clone() };
        let label = self.member(key).map_or_else(String::new, |member| member.label());
        self.update(key, EventKind::MemberUpdated, format!("{label} instructed to join"), |member| {
            member.join_issued = Some(issued);
        });
    }

    /// Starts a new attempt to form the cluster, as an administrator has requested. Data of the etcd cluster on record counts as
    /// earlier from now on.
    pub fn begin_epoch(&mut self, why: &str) {
        let held = self.held.as_ref().and_then(|held| held.cluster);
        self.begin_epoch_after(self.cluster_id.into_iter().chain(held).collect(), why);
    }

    /// Starts a new attempt to form the cluster, because the present one seems to have failed. That rests on reports. So the registry
    /// forgets the etcd cluster's ID: data of it that has had a leader is evidence of another cluster.
    pub fn give_up_attempt(&mut self, why: &str) {
        self.begin_epoch_after(Vec::new(), why);
    }

    /// All present members are removed. Data of the `given_up` etcd clusters counts as earlier.
    fn begin_epoch_after(&mut self, given_up: Vec<ClusterId>, why: &str) {
        for member in self.members().cloned().collect::<Vec<_>>() {
            let message = format!("{} removed: it belonged to epoch {}", member.name(), self.epoch);
            self.remove(&member.key, true, message);
        }
        let epoch = self.epoch.next();
        self.change(EventKind::EpochBegun, format!("epoch {epoch} started: {why}"), |cluster| {
            for id in given_up {
                if !cluster.earlier_cluster_ids.contains(&id) {
                    cluster.earlier_cluster_ids.push(id);
                }
            }
            cluster.epoch = epoch;
            cluster.formed = None;
            cluster.formed_at = None;
            cluster.protocol = None;
            cluster.cluster_id = None;
            cluster.bootstrapped = None;
            cluster.ticket = None;
            cluster.setbacks.clear();
        });
    }

    /// Holds the founding of the cluster, because another one may exist.
    pub fn hold(&mut self, reason: HoldReason, node: Option<&MemberName>, found: Option<ClusterId>) {
        let held = Held { since: self.now, reason, node: node.cloned(), cluster: found };
        let message = format!("forming held: {}", held.what_was_seen());
        self.change(EventKind::FoundingHeld, message, |cluster| cluster.held = Some(held));
    }

    /// Records that a node has refused an instruction.
    pub fn record_refusal(&mut self, recorded: RecordedRefusal) {
        let RecordedRefusal { node, refusal, .. } = &recorded;
        let message = format!("{node} refused {}: {}", refusal.task, refusal.found);
        self.change(EventKind::NodeRefused, message, |cluster| {
            cluster.refusals.retain(|known| known.node != recorded.node);
            cluster.refusals.push(recorded);
            let surplus = cluster.refusals.len().saturating_sub(RecordedRefusal::MOST);
            cluster.refusals.drain(..surplus);
            cluster.refusal_count += 1;
        });
    }

    /// Ends the hold, if there is one.
    pub fn release_hold(&mut self, why: impl Display) {
        if self.held.is_some() {
            self.change(EventKind::FoundingReleased, format!("forming no longer held: {why}"), |cluster| {
                cluster.held = None;
            });
        }
    }

    /// The present epoch's `--initial-cluster-token`.
    pub fn initial_cluster_token(&self) -> String {
        self.epoch.initial_cluster_token(&self.token)
    }

    fn commit(
        &mut self,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
        change: KeyChange,
        edit: impl FnOnce(&mut Cluster),
    ) {
        let event = self.event(self.now, change, kind, message);
        let cluster = self.changed.get_or_insert_with(|| Box::new(self.base.clone()));
        cluster.revision = event.revision;
        edit(cluster);
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterSize;

    #[test]
    fn the_count_of_a_known_node_grows_although_no_further_node_is_kept() {
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        let created = Cluster::create(token, ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
        let mut cluster = created.after.unwrap();
        let setback = Setback { count: 1, at: UnixMillis(0) };
        cluster.setbacks = (0..MAX_SETBACKS).map(|n| (format!("node{n}").parse().unwrap(), setback)).collect();
        let mut draft = ClusterDraft::new(&cluster, UnixMillis(1));
        for name in ["node0", "another"] {
            draft.grant(&name.parse().unwrap(), Purpose::Promote { member: "1".parse().unwrap() }, "it has caught up");
            draft.release_without_progress("no progress");
        }
        let count = |name: &str| draft.setbacks.get(&name.parse::<MemberName>().unwrap()).map(|setback| setback.count);
        assert_eq!((count("node0"), count("another"), draft.setbacks.len()), (Some(2), None, MAX_SETBACKS));
    }
}
