use std::{collections::HashSet, sync::Arc};

use super::{Planner, membership::quorum};
use crate::{
    EventKind, Identity, Instruction, Member, MemberId, MemberKey, MemberName, NodeState, ObservedMember, Protocol,
    Purpose, Reason, Registration, Revision, Role, View,
};

/// A look at the cluster that decisions can rest on: it was made through the quorum, and the registry's record
/// agrees with it.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    view: &'a View,
    /// The member that looks, if it runs: it reaches itself.
    own: Option<MemberId>,
}

impl Look<'_> {
    /// Whether a member answered just now.
    pub fn is_up(&self, member: &Member) -> bool {
        self.seen(member).is_some_and(|seen| seen.reachable || Some(seen.id) == self.own)
    }

    /// Whether a member leads.
    pub fn leads(&self, member: &Member) -> bool {
        member.key.id().is_some_and(|id| self.view.leader == Some(id))
    }

    /// How far a member has applied the log.
    pub fn applied(&self, member: &Member) -> Option<u64> {
        self.seen(member)?.applied_index
    }

    fn seen(&self, member: &Member) -> Option<&ObservedMember> {
        let id = member.key.id()?;
        self.view.members.iter().find(|seen| seen.id == id)
    }
}

impl<'a> Planner<'a> {
    /// The node's look at the cluster, or what the node has to do first.
    pub(super) fn look(&self) -> Result<Look<'a>, Box<Instruction>> {
        let Some(view) = &self.report.view else {
            return Err(Box::new(self.observe("a look at the cluster is needed to decide")));
        };
        // A cluster whose ID is not known would have been taken over by now if the list had any of its members.
        let is_known = self.draft.cluster_id.is_some() || view.linearizable;
        if view.cluster.is_some() && is_known && view.cluster != self.draft.cluster_id {
            let message = "what answers at the members' addresses is another etcd cluster";
            return Err(Box::new(self.wait(Reason::ForeignCluster, message)));
        }
        let look =
            Look { view, own: self.report.identity().filter(|_| self.report.is_running()).map(|own| own.member) };
        if !view.linearizable || view.leader.is_none() {
            return Err(Box::new(self.no_quorum(&look)));
        }
        if !self.agrees(view) {
            return Err(Box::new(self.observe("the registry has learnt of a change since this look began")));
        }
        Ok(look)
    }

    /// Whether so many other voters answer that they need nobody else for a leader, even if they have none right now.
    pub(super) fn others_can_elect(&self, own: &Member) -> bool {
        let Some(view) = self.report.view.as_ref().filter(|view| view.cluster == self.draft.cluster_id) else {
            return false;
        };
        let look = Look { view, own: None };
        let up = self.draft.voters().filter(|voter| voter.key != own.key && look.is_up(voter)).count();
        up >= quorum(self.draft.voters().count())
    }

    fn no_quorum(&self, look: &Look<'_>) -> Instruction {
        let silent = self.draft.voters().filter(|member| !look.is_up(member));
        let silent: Vec<String> = silent.map(|member| format!("{} ({})", member.name(), member.key)).collect();
        let who = match silent.len() {
            0 => "the members answer but have no leader".to_owned(),
            _ => format!("no answer from {}", silent.join(", ")),
        };
        self.wait(Reason::NoQuorum, format!("the cluster has no quorum that can be seen from here: {who}"))
    }

    /// Takes over what a view shows. Views that nobody can rest on only show that the cluster exists.
    pub(super) fn learn_from_view(&mut self) {
        // A member's own data says which cluster this is, and so whether what was seen is to be followed.
        if let Some(identity) = self.report.identity()
            && self.draft.member(&identity.member.into()).is_some()
            && !self.draft.earlier_cluster_ids.contains(&identity.cluster)
        {
            self.know_cluster_id(identity);
        }
        let Some(view) = &self.report.view else { return };
        // A registrant that leaves may be the last one, and must not hand the place of all to what it sees.
        let is_going = self.report.leaving && self.report.state == NodeState::Empty;
        if view.linearizable && view.cluster.is_some() && self.draft.cluster_id.is_none() && !is_going {
            self.adopt(view);
        }
        if view.cluster.is_none() || view.cluster != self.draft.cluster_id {
            return;
        }
        self.know_bootstrapped("its members answer");
        if view.linearizable && self.draft.formed.is_some() {
            self.follow_list(view);
        }
    }

    /// Takes over a cluster's ID that the registry did not know: of one that formed by v2, or of one that was there
    /// before the registry and that nobody else has registered for.
    fn adopt(&mut self, view: &View) {
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
    pub(super) fn know_bootstrapped(&mut self, how: &str) {
        if self.draft.bootstrapped.is_none() {
            let message = format!("the etcd cluster exists: {how}");
            self.draft.change(EventKind::Bootstrapped, message, |cluster| {
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }

    /// Makes the record what etcd's list is, as far as the list can know: it was read after `view.since`.
    fn follow_list(&mut self, view: &View) {
        let gone = |member: &&Arc<Member>| !has(view, &member.key) && member.created <= view.since;
        let gone: Vec<Arc<Member>> = self.draft.members().filter(gone).cloned().collect();
        for member in gone {
            let message = format!("{} ({}) is not in etcd's list any more", member.name(), member.key);
            self.draft.remove(&member.key, true, message);
        }
        for seen in &view.members {
            match self.draft.record.iter().find(|member| member.key.id() == Some(seen.id)).cloned() {
                Some(member) if member.removed.is_none() => self.follow_member(&member, seen, view.since),
                Some(member) if member.removed.is_some_and(|removal| removal.at > view.since) => {}
                on_record => self.take_up(seen, on_record),
            }
        }
    }

    fn follow_member(&mut self, member: &Arc<Member>, seen: &ObservedMember, since: Revision) {
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
        after.role = role(seen);
        after.started |= seen.name.is_some();
        if after == **member || member.modified > since {
            return;
        }
        let promoted = !member.is_voter() && after.is_voter();
        let kind = if promoted { EventKind::MemberPromoted } else { EventKind::MemberUpdated };
        let message = format!("{} ({}) {}", after.name(), member.key, differences(member, &after));
        self.draft.update(&member.key, kind, message, |member| *member = after);
    }

    fn take_up(&mut self, seen: &ObservedMember, on_record: Option<Arc<Member>>) {
        let key = MemberKey::from(seen.id);
        let registration = Registration { name: self.name_of(seen), peer_urls: seen.peer_urls.clone() };
        let fresh = Member::registered(key.clone(), registration, Revision::FIRST);
        let member = Member {
            client_urls: seen.client_urls.clone(),
            role: role(seen),
            started: seen.name.is_some(),
            founder: on_record.and_then(|member| member.founder.clone()),
            ..fresh
        };
        let message = format!("{} ({key}) is in etcd's list as {}", member.name(), word(member.role));
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

    /// Whether the record shows the members that the view shows, in the same roles and at the same addresses.
    fn agrees(&self, view: &View) -> bool {
        let members = view.members.iter().all(|seen| {
            let member = self.draft.member(&seen.id.into());
            member.is_some_and(|member| member.role == role(seen) && member.has_peer_urls(&seen.peer_urls))
        });
        members && self.draft.members().count() == view.members.len()
    }
}

fn has(view: &View, key: &MemberKey) -> bool {
    key.id().is_some_and(|id| view.members.iter().any(|seen| seen.id == id))
}

/// What has changed about a member, for people.
fn differences(before: &Member, after: &Member) -> String {
    let told = [
        (before.role != after.role).then(|| format!("is a {} now", word(after.role))),
        (before.name() != after.name()).then(|| format!("was called {}", before.name())),
        (before.registration.peer_urls != after.registration.peer_urls)
            .then(|| format!("has the peer URLs {}", listed(&after.registration.peer_urls))),
        (before.client_urls != after.client_urls)
            .then(|| format!("has the client URLs {}", listed(&after.client_urls))),
        (before.started != after.started).then(|| "has started".to_owned()),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn role(seen: &ObservedMember) -> Role {
    if seen.learner { Role::Learner } else { Role::Voter }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Voter => "voter",
        Role::Learner => "learner",
    }
}
