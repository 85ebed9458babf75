use std::{borrow::Cow, ops::Deref, sync::Arc};

use crate::{
    Action, BootstrapIssued, Cluster, ClusterSize, Event, EventKind, Founder, Member, MemberKey, MemberName, Previous,
    Protocol, Purpose, Removal, RunId, Subject, Ticket, Transition, UnixMillis,
    cluster::{NewValue, previous_member},
};

/// A cluster on its way to its next state: every change that is made to it takes a revision and leaves an event.
///
/// It reads as the cluster that it has become so far. Nothing is copied before the first change.
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

    /// What has become of the cluster, or `None` if nothing has changed.
    pub fn finish(self) -> Option<Transition> {
        let after = self.changed?;
        Some(Transition { after: Some(*after), events: self.events })
    }

    /// Makes a change that only the API shows.
    pub fn change(&mut self, kind: EventKind, message: impl Into<Cow<'static, str>>, edit: impl FnOnce(&mut Cluster)) {
        self.push(
            kind,
            message,
            (Action::Set, Subject::Lifecycle(None), NewValue::gone(self.revision.next()), None),
            edit,
        );
    }

    /// Sets the size, whatever it was and however far the cluster is.
    pub fn resize(&mut self, size: ClusterSize, message: String) {
        let (created, previous) = (self.size_created, self.previous_size());
        let value = Some(size.to_string());
        let version = self.size_version + 1;
        let event = (Action::Update, Subject::Size, NewValue { value, created, version }, Some(previous));
        self.push(EventKind::SizeSet, message, event, |cluster| {
            cluster.size = size;
            cluster.size_modified = cluster.revision;
            cluster.size_version = version;
        });
    }

    /// Adds a member that is not on record, or not any more.
    pub fn add(&mut self, member: Member, kind: EventKind, message: impl Into<Cow<'static, str>>) {
        let revision = self.revision.next();
        let Member { key, registration, .. } = &member;
        let fresh = Member::registered(key.clone(), registration.clone(), revision);
        let Member { created, modified, registered, version, removed, .. } = fresh;
        let member = Member { created, modified, registered, version, removed, ..member };
        let event = (Action::Create, Subject::Member(member.key.clone()), NewValue::member(&member), None);
        let now = self.now;
        self.push(kind, message, event, |cluster| {
            cluster.first_registered_at = cluster.first_registered_at.or(Some(now));
            cluster.protocol = cluster.protocol.or(member.founder.is_some().then_some(Protocol::CheckIn));
            cluster.record = cluster.record_with(member);
        });
    }

    /// Changes a present member; v2 is told if its registration changes.
    pub fn update(
        &mut self,
        key: &MemberKey,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
        edit: impl FnOnce(&mut Member),
    ) {
        let Some(before) = self.on_record(key).cloned() else { return };
        let mut member = Member::clone(&before);
        edit(&mut member);
        member.modified = self.revision.next();
        let event = if member.registration == before.registration {
            (Action::Set, Subject::Lifecycle(Some(key.clone())), NewValue::gone(member.created), None)
        } else {
            member.registered = member.modified;
            member.version += 1;
            (Action::Update, Subject::Member(key.clone()), NewValue::member(&member), Some(previous_member(&before)))
        };
        self.push(kind, message, event, |cluster| cluster.record = cluster.record_with(member));
    }

    /// Removes a present member.
    pub fn remove(&mut self, key: &MemberKey, confirmed: bool, message: impl Into<Cow<'static, str>>) {
        let Some(before) = self.member(key).cloned() else { return };
        let revision = self.revision.next();
        let removal = Removal { at: revision, confirmed };
        let member = Member { modified: revision, removed: Some(removal), ..Member::clone(&before) };
        let subject = Subject::Member(key.clone());
        let event = (Action::Delete, subject, NewValue::gone(member.created), Some(previous_member(&before)));
        self.push(EventKind::MemberRemoved, message, event, |cluster| {
            cluster.record = cluster.record_with(member);
        });
    }

    /// A member with this key, present or not.
    fn on_record(&self, key: &MemberKey) -> Option<&Arc<Member>> {
        self.record.iter().find(|member| member.key == *key)
    }

    /// Gives a node the right to change membership.
    pub fn grant(&mut self, holder: &MemberName, purpose: Purpose, why: &str) -> Ticket {
        let ticket = Ticket { number: self.tickets + 1, holder: holder.clone(), purpose, granted_at: self.now };
        let message = format!("{holder} has ticket {} to {}: {why}", ticket.number, ticket.purpose.as_str());
        let granted = ticket.clone();
        self.change(EventKind::TicketGranted, message, |cluster| {
            cluster.tickets = granted.number;
            cluster.ticket = Some(granted);
        });
        ticket
    }

    /// Takes the ticket back.
    pub fn release(&mut self, why: &str) {
        let Some(ticket) = self.ticket.clone() else { return };
        let message = format!("ticket {} of {} is released: {why}", ticket.number, ticket.holder);
        self.change(EventKind::TicketReleased, message, |cluster| cluster.ticket = None);
    }

    /// Remembers that a founder was told to bootstrap, before it is told.
    pub fn record_bootstrap_issued(&mut self, key: &MemberKey, run: &RunId) {
        let told = BootstrapIssued { run: run.clone(), at: self.now };
        let name = self.member(key).map_or_else(String::new, |member| member.name().to_string());
        let message = format!("{name} ({key}) is told to bootstrap with the others");
        self.update(key, EventKind::BootstrapTold, message, |member| {
            member.founder = Some(Founder { issued: Some(told) })
        });
    }

    /// Begins a new attempt to form: every member of the last one is history, and nobody has registered.
    pub fn begin_epoch(&mut self, why: &str) {
        for member in self.members().cloned().collect::<Vec<_>>() {
            let message = format!("{} ({}) belonged to epoch {}", member.name(), member.key, self.epoch);
            self.remove(&member.key, true, message);
        }
        let epoch = self.epoch.next();
        self.change(EventKind::EpochBegun, format!("epoch {epoch} begins: {why}"), |cluster| {
            cluster.earlier_cluster_ids.extend(cluster.cluster_id);
            cluster.epoch = epoch;
            cluster.formed = None;
            cluster.formed_at = None;
            cluster.protocol = None;
            cluster.cluster_id = None;
            cluster.bootstrapped = None;
            cluster.ticket = None;
        });
    }

    /// The current epoch's `--initial-cluster-token`.
    pub fn initial_cluster_token(&self) -> String {
        self.epoch.initial_cluster_token(&self.token)
    }

    fn push(
        &mut self,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
        (action, subject, written, previous): KeyChange,
        edit: impl FnOnce(&mut Cluster),
    ) {
        let event = self.event(self.now, action, subject, written, previous, (kind, message.into()));
        let cluster = self.changed.get_or_insert_with(|| Box::new(self.base.clone()));
        cluster.revision = event.revision;
        edit(cluster);
        self.events.push(event);
    }
}

/// What an event says beyond its kind and message.
type KeyChange = (Action, Subject, NewValue, Option<Previous>);
