use std::{collections::HashSet, sync::Arc};

use super::Planner;
use crate::{
    EventKind, Identity, Member, MemberId, MemberKey, MemberName, NodeState, ObservedMember, Protocol, Purpose,
    Registration, Revision, View,
};

impl Planner<'_> {
    /// Takes over what a view shows. Views that nobody can rest on only show that the cluster exists.
    pub(super) fn reconcile_with_view(&mut self) {
        // A member's own data says which cluster this is, and so whether what was seen is to be followed.
        if let Some(identity) = self.report.identity()
            && self.draft.member(&identity.member.into()).is_some()
            && !self.draft.earlier_cluster_ids.contains(&identity.cluster)
        {
            self.record_cluster_id(identity);
        }
        let Some(view) = &self.report.view else { return };
        // A registrant that leaves may be the last one, and must not hand the place of all to what it sees.
        let is_going = self.report.leaving && self.report.state == NodeState::Empty;
        if view.linearizable && view.cluster.is_some() && self.draft.cluster_id.is_none() && !is_going {
            self.adopt_cluster(view);
        }
        if view.cluster.is_none() || view.cluster != self.draft.cluster_id {
            return;
        }
        self.mark_bootstrapped("its members answer");
        if view.linearizable && self.draft.formed.is_some() {
            self.reconcile_members(view);
        }
    }

    /// Takes over a cluster's ID that the registry did not know: of one that formed by v2, or of one that was there
    /// before the registry and that nobody else has registered for.
    fn adopt_cluster(&mut self, view: &View) {
        let known: HashSet<MemberId> = self.draft.members().filter_map(|member| member.key.id()).collect();
        let formed_here = self.draft.formed.is_some() && view.members.iter().any(|seen| known.contains(&seen.id));
        // What an earlier epoch had is not what was there before the registry.
        let had = |seen: &ObservedMember| self.draft.record.iter().any(|member| member.key.id() == Some(seen.id));
        let is_vacant = self.draft.formed.is_none() && self.draft.members().next().is_none();
        let was_there_before = is_vacant && !view.members.iter().any(had);
        if view.cluster.is_some_and(|id| self.draft.earlier_cluster_ids.contains(&id))
            || !(formed_here || was_there_before)
        {
            return;
        }
        let cluster_id = view.cluster;
        self.draft.change(EventKind::Formed, "the cluster runs already, and is taken over as it is", |cluster| {
            cluster.cluster_id = cluster_id;
            cluster.formed = cluster.formed.or(Some(cluster.revision));
            cluster.protocol = cluster.protocol.or(Some(Protocol::CheckIn));
        });
    }

    /// Remembers that the etcd cluster exists.
    pub(super) fn mark_bootstrapped(&mut self, how: &str) {
        if self.draft.bootstrapped.is_none() {
            let message = format!("the etcd cluster exists: {how}");
            self.draft.change(EventKind::Bootstrapped, message, |cluster| {
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }

    /// Makes the record what etcd's list is, as far as the list can know: it was read after `view.since`.
    fn reconcile_members(&mut self, view: &View) {
        let gone = |member: &&Arc<Member>| !has(view, &member.key) && member.created <= view.since;
        let gone: Vec<Arc<Member>> = self.draft.members().filter(gone).cloned().collect();
        for member in gone {
            let message = format!("{} ({}) is not in etcd's list any more", member.name(), member.key);
            self.draft.remove(&member.key, true, message);
        }
        for seen in &view.members {
            match self.draft.record.iter().find(|member| member.key.id() == Some(seen.id)).cloned() {
                Some(member) if member.removed.is_none() => self.reconcile_member(&member, seen, view.since),
                Some(member) if member.removed.is_some_and(|removal| removal.at > view.since) => {}
                on_record => self.add_listed_member(seen, on_record),
            }
        }
    }

    fn reconcile_member(&mut self, member: &Arc<Member>, seen: &ObservedMember, since: Revision) {
        let mut after = Member::clone(member);
        // Where the two differ, a running node's word on itself counts, so that they don't take turns.
        let own = Some(self.report).filter(|report| {
            let is_own = |own: Identity| own.member == seen.id && Some(own.cluster) == self.draft.cluster_id;
            report.is_running() && report.identity().is_some_and(is_own)
        });
        if let Some(name) = own.map(|own| &own.name).or(seen.name.as_ref()) {
            after.registration.name = name.clone();
        }
        if !member.has_peer_urls(&seen.peer_urls) {
            after.registration.peer_urls = seen.peer_urls.clone();
        }
        let own_client_urls = own.map(|own| &own.client_urls).filter(|urls| !urls.is_empty());
        let client_urls = own_client_urls.unwrap_or(&seen.client_urls);
        if !client_urls.is_empty() {
            after.client_urls = client_urls.clone();
        }
        after.role = seen.role();
        after.started |= seen.name.is_some();
        if after == **member || member.modified > since {
            return;
        }
        let promoted = !member.is_voter() && after.is_voter();
        let kind = if promoted { EventKind::MemberPromoted } else { EventKind::MemberUpdated };
        let message = format!("{} ({}) {}", after.name(), member.key, differences(member, &after));
        self.draft.update(&member.key, kind, message, |member| *member = after);
    }

    fn add_listed_member(&mut self, seen: &ObservedMember, on_record: Option<Arc<Member>>) {
        let key = MemberKey::from(seen.id);
        let registration = Registration { name: self.name_of(seen), peer_urls: seen.peer_urls.clone() };
        let fresh = Member::registered(key.clone(), registration, Revision::FIRST);
        let member = Member {
            client_urls: seen.client_urls.clone(),
            role: seen.role(),
            started: seen.name.is_some(),
            founder: on_record.and_then(|member| member.founder.clone()),
            ..fresh
        };
        let message = format!("{} ({key}) is in etcd's list as {}", member.name(), member.role);
        self.draft.add(member, EventKind::MemberAdded, message);
    }

    /// etcd learns a member's name when it starts; until then the ticket tells whose place it is.
    fn name_of(&self, seen: &ObservedMember) -> MemberName {
        let joiner = self.draft.ticket.as_ref().and_then(|ticket| match &ticket.purpose {
            Purpose::Join { peer_urls, .. } if peer_urls.iter().any(|url| seen.peer_urls.contains(url)) => {
                Some(ticket.holder.clone())
            }
            _ => None,
        });
        let unnamed = || seen.id.to_string().parse().expect("hexadecimal digits make a name");
        seen.name.clone().or(joiner).unwrap_or_else(unnamed)
    }

    /// A founder sets left-overs aside before it starts an etcd that it was told to bootstrap. So what another run of it
    /// finds is younger than that, and shows that the cluster has existed, even if nobody has said so before. The run
    /// that was told may not have got so far.
    pub(super) fn learn_from_left_overs(&mut self) {
        if self.report.state != NodeState::Empty || !self.report.leftover {
            return;
        }
        let own = self.draft.members().find(|member| self.is_own_member(member));
        let issued = own.and_then(|own| own.founder.as_ref()).and_then(|founder| founder.issued.as_ref());
        if issued.is_some_and(|issued| issued.run != self.report.run) {
            let name = &self.report.name;
            self.mark_bootstrapped(&format!("{name} was told to bootstrap it, and has a database of it but no WAL"));
        }
    }

    /// A member of the record has data, so its cluster exists, and has the ID that the data has.
    pub(super) fn confirm_cluster(&mut self, identity: Identity) {
        self.record_cluster_id(identity);
        self.mark_bootstrapped(&format!("member {} has data of it", identity.member));
    }

    pub(super) fn record_cluster_id(&mut self, identity: Identity) {
        if self.draft.cluster_id.is_none() {
            let message = format!("the etcd cluster's ID is {}", identity.cluster);
            self.draft.change(EventKind::Bootstrapped, message, |cluster| {
                cluster.cluster_id = Some(identity.cluster);
                cluster.formed = cluster.formed.or(Some(cluster.revision));
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }

    /// Notes that a member has run, and what its node says of itself; gives the member as it is then.
    pub(super) fn reconcile_own_member(&mut self, own: &Arc<Member>) -> Arc<Member> {
        let Planner { report, .. } = *self;
        let mut after = Member::clone(own);
        after.started = true;
        if report.is_running() {
            after.registration.name = report.name.clone();
            if !report.client_urls.is_empty() {
                after.client_urls = report.client_urls.clone();
            }
        }
        if after == **own {
            return own.clone();
        }
        let message = format!("{} ({}) reported its data or its etcd", after.name(), own.key);
        self.draft.update(&own.key, EventKind::MemberUpdated, message, |member| *member = after);
        self.draft.member(&own.key).unwrap_or(own).clone()
    }
}

fn has(view: &View, key: &MemberKey) -> bool {
    key.id().is_some_and(|id| view.members.iter().any(|seen| seen.id == id))
}

/// What has changed about a member, for people.
fn differences(before: &Member, after: &Member) -> String {
    let changes = [
        (before.role != after.role).then(|| format!("is a {} now", after.role)),
        (before.name() != after.name()).then(|| format!("was called {}", before.name())),
        (before.registration.peer_urls != after.registration.peer_urls)
            .then(|| format!("has the peer URLs {}", listed(&after.registration.peer_urls))),
        (before.client_urls != after.client_urls)
            .then(|| format!("has the client URLs {}", listed(&after.client_urls))),
        (before.started != after.started).then(|| "has started".to_owned()),
    ];
    changes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}
