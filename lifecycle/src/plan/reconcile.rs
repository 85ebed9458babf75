//! What the registry learns from a report, before anything is decided.

use std::sync::Arc;

use super::{
    Planner,
    blocked::{label_of, urls_of},
};
use crate::{
    EventKind, Founder, Held, Identity, LastCheckIn, Member, MemberKey, MemberList, MemberName, NodeState,
    ObservedMember, Protocol, Registration, Revision, View, cluster::quorum_of,
};

impl Planner<'_> {
    /// Takes over what the node's view shows. A view without a quorum shows only that the cluster exists.
    pub(super) fn reconcile_with_view(&mut self) {
        // A member's own data shows which cluster this is, and so whether the view is of this cluster.
        if let Some(identity) = self.report.identity()
            && self.draft.member(&identity.member.into()).is_some()
            && !self.draft.earlier_cluster_ids.contains(&identity.cluster)
        {
            self.record_cluster_id(identity);
        }
        let Some(view) = &self.report.view else { return };
        // The last registered node may be leaving. It must not adopt another cluster for this token as it goes.
        let is_going = self.report.leaving && self.report.state == NodeState::Empty;
        if view.linearizable && view.cluster.is_some() && self.draft.cluster_id.is_none() && !is_going {
            self.adopt_cluster(view);
        }
        self.correct_cluster_id(view);
        if view.cluster.is_none() || view.cluster != self.draft.cluster_id {
            return;
        }
        self.mark_bootstrapped("its members answer");
        self.drop_latecomers(view);
        let is_of_cluster =
            || self.missing_without_evidence(view).is_empty() && self.given_up_but_listed(view).is_empty();
        if view.linearizable && self.draft.formed.is_some() && is_of_cluster() {
            self.reconcile_members_fully(view);
        }
    }

    /// Each change may make another one credible: a voter of this node gives it a say, and a learner that was promoted makes room for
    /// the next one.
    fn reconcile_members_fully(&mut self, view: &View) {
        loop {
            let before = self.draft.revision;
            self.unconfirmed.clear();
            self.reconcile_members(view);
            if self.unconfirmed.is_empty() || self.draft.revision == before {
                return;
            }
        }
    }

    /// Removes who registered by discovery after the last place was taken (`Cluster::may_be_late`) and is not in etcd's list: it never
    /// was a member, so it must not count for the quorum.
    fn drop_latecomers(&mut self, view: &View) {
        let (Some(formed), Some(bootstrapped)) = (self.draft.formed, self.draft.bootstrapped) else { return };
        if !view.linearizable || !matches!(self.draft.protocol, Some(Protocol::Discovery(_))) {
            return;
        }
        let is_latecomer = |member: &&Arc<Member>| {
            let is_late = formed < member.created && member.created < bootstrapped;
            is_late && !member.started && !is_listed(view, &member.key)
        };
        let latecomers: Vec<Arc<Member>> = self.draft.members().filter(is_latecomer).cloned().collect();
        for member in latecomers {
            let message = format!("{} removed: it registered after the last place was taken", member.label());
            self.draft.remove(&member.key, true, message);
        }
    }

    /// Corrects the ID of the etcd cluster, which one wrong report can have set. A quorum of the voters on record answers as
    /// members of the other cluster, and no member on record has shown data of the cluster on record.
    fn correct_cluster_id(&mut self, view: &View) {
        let (Some(seen), Some(on_record)) = (view.cluster, self.draft.cluster_id) else { return };
        if !self.may_speak_for_others(view) {
            return;
        }
        // The registry has computed the ID of a cluster that formed by check-in.
        let is_computed = self.draft.record.iter().any(|member| member.founder.is_some());
        let is_known = seen == on_record || self.draft.earlier_cluster_ids.contains(&seen);
        let has_other_data = self.report.identity().is_some_and(|own| own.cluster != seen);
        let has_quorum = view.linearizable && self.voters_that_answer(view) >= self.draft.quorum();
        if is_computed || is_known || has_other_data || !has_quorum {
            return;
        }
        let has_data_of_it = |node: &LastCheckIn| {
            node.state
                .identity()
                .is_some_and(|own| own.cluster == on_record && self.draft.member(&own.member.into()).is_some())
        };
        let is_on_record = |name: &MemberName| self.draft.members().any(|member| member.name() == name);
        let mut others =
            self.liveness.nodes.iter().filter(|(name, _)| **name != self.report.name && is_on_record(name));
        if others.any(|(_, node)| has_data_of_it(node)) {
            return;
        }
        let message = format!("etcd cluster {seen}: its members answer. The ID on record, {on_record}, was wrong");
        self.draft.change(EventKind::ClusterIdCorrected, message, |cluster| {
            cluster.cluster_id = Some(seen);
        });
    }

    /// The members on record that a view lacks, if nothing but the view shows that they were removed.
    ///
    /// The view may be of a copy of the cluster: `--force-new-cluster` keeps the cluster's ID and drops all members but one.
    /// So the record follows the list only if a quorum of the voters on record answers and is in the list. If only one member is
    /// missing, a quorum of the other voters suffices if something else shows the removal: the member is dead, the ticket's holder
    /// was instructed to remove it, or its own node sees it. That node may look at such a copy, too. An eviction shows nothing: it
    /// may still wait for the quorum.
    ///
    /// All of that is one node's word. So the removal of a voter whose own node has a voice must be expected, or be shown by enough
    /// nodes.
    pub(super) fn missing_without_evidence(&self, view: &View) -> Vec<String> {
        let policy = &self.draft.policy;
        let ticket = self.draft.ticket.as_ref().and_then(|ticket| ticket.purpose.removes());
        let own = self.report.identity().map(|own| MemberKey::from(own.member));
        let missing: Vec<&Arc<Member>> = self.draft.members().filter(|member| is_gone(view, member)).collect();
        let weighed: Vec<&Arc<Member>> = self.weighed_voters().collect();
        let answering = self.count_answers(view, &weighed);
        let has_quorum = answering >= quorum_of(weighed.len());
        // One removal from an even number of voters leaves a quorum that is smaller by one.
        let is_one_removal = || match missing[..] {
            [one] => {
                let remaining = weighed.iter().filter(|voter| voter.key != one.key).count();
                let is_own_or_instructed = Some(&one.key) == own.as_ref() || Some(&one.key) == ticket;
                let is_dead = || self.liveness.silence(policy, one, self.now) >= policy.dead_after;
                answering >= quorum_of(remaining) && (is_own_or_instructed || is_dead())
            }
            _ => false,
        };
        let is_confirmed =
            missing.iter().all(|member| self.is_expected_to_go(member)) || self.may_speak_for_others(view);
        if missing.is_empty() || (is_confirmed && (has_quorum || is_one_removal())) {
            return Vec::new();
        }
        missing.into_iter().map(|member| member.label()).collect()
    }

    /// The members that an administrator has given up and that a view lists, unless a quorum of the present voters answers and is in
    /// the list.
    ///
    /// etcd never adds a member again under its ID. So either the administrator was wrong, or the list is of data from before a
    /// new cluster was forced (`--force-new-cluster`).
    pub(super) fn given_up_but_listed(&self, view: &View) -> Vec<String> {
        if self.voters_that_answer(view) >= self.draft.quorum() {
            return Vec::new();
        }
        let was_given_up =
            |member: &&Arc<Member>| member.removed.is_some_and(|removal| removal.given_up && removal.at <= view.since);
        let given_up = self.draft.record.iter().filter(was_given_up).filter(|member| is_listed(view, &member.key));
        given_up.map(|member| member.label()).collect()
    }

    /// How many voters on record are in a view's list and have answered with their own IDs.
    fn voters_that_answer(&self, view: &View) -> usize {
        self.count_answers(view, &self.draft.voters().collect::<Vec<_>>())
    }

    fn count_answers(&self, view: &View, voters: &[&Arc<Member>]) -> usize {
        let own = self.report.identity().filter(|_| self.report.is_running()).map(|own| own.member);
        let answers = |voter: &&Arc<Member>| {
            let id = voter.key.id();
            view.members.iter().any(|seen| Some(seen.id) == id && (seen.identified || Some(seen.id) == own))
        };
        voters.iter().filter(|voter| answers(voter)).count()
    }

    /// Takes over the ID of a running cluster that the registry did not know. It formed by v2 discovery, or it is older
    /// than the registry. Only a node with data of a member can show that or, if nobody has registered and founding is not held, a
    /// node that has seen the cluster before.
    fn adopt_cluster(&mut self, view: &View) {
        let Some(list) = MemberList::of_view(view) else { return };
        let cluster_id = list.cluster;
        if self.draft.earlier_cluster_ids.contains(&cluster_id) {
            return;
        }
        if self.draft.formed.is_some() {
            if !self.may_speak_for_others(view) {
                return;
            }
            let is_known = |observed: &ObservedMember| self.draft.member(&observed.id.into()).is_some();
            if view.members.iter().any(is_known) {
                self.draft.change(EventKind::Formed, format!("running etcd cluster {cluster_id} adopted"), |cluster| {
                    cluster.cluster_id = Some(cluster_id);
                });
            }
            return;
        }
        // A member of an earlier epoch is not older than the registry. A node that registers now with the peer URLs of a member
        // gets the ID that this member has had before.
        let has_never_run = |member: &Member| {
            !member.started && member.founder.as_ref().is_some_and(|founder| founder.issued.is_none())
        };
        let was_known = |observed: &ObservedMember| {
            let same_id = |member: &&Arc<Member>| member.key.id() == Some(observed.id);
            self.draft.record.iter().filter(same_id).any(|member| !has_never_run(member))
        };
        let may_adopt = self.shows_own_member(view) || self.has_seen_vacant_cluster(view);
        if may_adopt && !view.members.iter().any(was_known) {
            self.draft.adopt(&list, &format!("from the view of {}", self.report.name));
        }
    }

    /// Whether nobody has registered, and the node has seen this cluster before the registry was lost: it knows a later revision. The
    /// addresses of a cluster may be those of another one by now, so the view of a new node, this node's own data, or a hold show
    /// nothing of that kind. A hold because this very node was refused when it showed the same does not count.
    fn has_seen_vacant_cluster(&self, view: &View) -> bool {
        let has_no_data = matches!(self.report.state, NodeState::Empty);
        let is_own = |held: &Held| held.node.as_ref() == Some(&self.report.name) && held.cluster == view.cluster;
        let is_vacant = self.draft.held.as_ref().is_none_or(is_own) && self.draft.members().next().is_none();
        has_no_data && is_vacant && view.since > self.draft.revision
    }

    /// Whether the node has data of a member that is in the view's list.
    fn shows_own_member(&self, view: &View) -> bool {
        self.report
            .identity()
            .is_some_and(|own| view.cluster == Some(own.cluster) && is_listed(view, &own.member.into()))
    }

    /// Records that the etcd cluster exists.
    fn mark_bootstrapped(&mut self, evidence: &str) {
        if self.draft.bootstrapped.is_none() {
            self.draft.change(EventKind::Bootstrapped, format!("etcd cluster exists: {evidence}"), |cluster| {
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }

    /// A member on record has data. So its cluster exists, and its ID is the one in the data.
    pub(super) fn confirm_cluster(&mut self, identity: Identity) {
        self.record_cluster_id(identity);
        self.mark_bootstrapped(&format!("member {} has data of it", identity.member));
    }

    fn record_cluster_id(&mut self, identity: Identity) {
        if self.draft.cluster_id.is_none() {
            let message =
                format!("etcd cluster {} exists: member {} has data of it", identity.cluster, identity.member);
            self.draft.change(EventKind::Bootstrapped, message, |cluster| {
                cluster.cluster_id = Some(identity.cluster);
                cluster.formed = cluster.formed.or(Some(cluster.revision));
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }

    /// Learns from a leftover that the cluster has existed.
    ///
    /// A founder archives leftovers before it bootstraps. So a leftover that a later run of its client finds is of the
    /// cluster that it bootstrapped. The instructed run itself may not have archived them yet.
    pub(super) fn reconcile_with_leftover(&mut self) {
        if self.report.state != NodeState::Empty || !self.report.leftover {
            return;
        }
        let own = self.own_member();
        let issued = own.as_ref().and_then(|own| own.bootstrap_issued());
        if issued.is_some_and(|issued| issued.run != self.report.run) {
            let name = &self.report.name;
            self.mark_bootstrapped(&format!("{name} was instructed to bootstrap it, and has a database without a WAL"));
        }
    }

    /// Makes the record agree with etcd's list, as far as this node's word goes. Changes that the registry has learned of since
    /// `view.since` stay.
    fn reconcile_members(&mut self, view: &View) {
        let is_confirmed = self.may_speak_for_others(view);
        let gone: Vec<Arc<Member>> = self.draft.members().filter(|member| is_gone(view, member)).cloned().collect();
        for member in gone {
            let message = format!("{} removed: it is not in etcd's list any more", member.name());
            self.draft.remove(&member.key, true, message);
        }
        for observed in &view.members {
            match self.draft.record.iter().find(|member| member.key.id() == Some(observed.id)).cloned() {
                Some(member) if member.removed.is_none() => {
                    self.reconcile_member(&member, observed, view.since, is_confirmed);
                }
                Some(member) if member.removed.is_some_and(|removal| removal.at > view.since) => {}
                on_record if is_confirmed || self.may_be_added(observed) => {
                    self.add_listed_member(observed, on_record, is_confirmed);
                }
                _ => self.unconfirmed.push(format!(
                    "{} at {} as another voter",
                    label_of(observed),
                    urls_of(&observed.peer_urls)
                )),
            }
        }
    }

    fn reconcile_member(
        &mut self,
        member: &Arc<Member>,
        observed: &ObservedMember,
        since: Revision,
        is_confirmed: bool,
    ) {
        let mut after = Member::clone(member);
        if let Some(name) = &observed.name {
            after.registration.name = name.clone();
        }
        if !member.has_peer_urls(&observed.peer_urls) {
            after.registration.peer_urls = observed.peer_urls.clone();
        }
        if !observed.client_urls.is_empty() {
            after.client_urls = observed.client_urls.clone();
        }
        after.role = observed.role();
        // etcd's list has the names of founders from `--initial-cluster`, before they have run.
        after.started |= observed.identified || (observed.name.is_some() && member.founder.is_none());
        if member.modified > since {
            return;
        }
        let shown = after;
        let after = if is_confirmed { shown.clone() } else { self.as_far_as_credible(member, shown.clone(), observed) };
        if (after.role, &after.registration.peer_urls) != (shown.role, &shown.registration.peer_urls) {
            self.unconfirmed.push(format!("{} as {} at {}", member.label(), shown.role, urls_of(&observed.peer_urls)));
        }
        if after == **member {
            return;
        }
        let is_promoted = !member.is_voter() && after.is_voter();
        let kind = if is_promoted { EventKind::MemberPromoted } else { EventKind::MemberUpdated };
        self.draft.update(&member.key, kind, differences(member, &after), |member| *member = after);
    }

    /// Records that the cluster has had a leader, if the view shows one: a list that was read through the quorum, and a quorum
    /// of the voters on record that answers. No later report makes it a cluster that never had one.
    pub(super) fn end_founding(&mut self) {
        let Some(view) = self.report.view.as_ref().filter(|view| view.linearizable && view.leader.is_some()) else {
            return;
        };
        let is_own = view.cluster.is_some() && view.cluster == self.draft.cluster_id;
        if !is_own || self.has_had_leader() || self.voters_that_answer(view) < self.draft.quorum() {
            return;
        }
        let Some(founder) = self.draft.members().find(|member| member.started && member.founder.is_some()).cloned()
        else {
            return;
        };
        let message = format!("{} is a founder, and the cluster has had a leader", founder.name());
        self.draft.update(&founder.key, EventKind::MemberUpdated, message, |founder| {
            founder.founder = Some(Founder { issued: None, disk: founder.disk().cloned() });
        });
    }

    /// Whether a member is a founder of a cluster that has had a leader.
    pub(super) fn has_had_leader(&self) -> bool {
        self.draft.members().any(|member| member.founder.is_some() && !member.may_never_have_led())
    }

    fn add_listed_member(&mut self, observed: &ObservedMember, on_record: Option<Arc<Member>>, is_confirmed: bool) {
        let key = MemberKey::from(observed.id);
        let registration =
            Registration { name: self.name_of(observed, is_confirmed), peer_urls: observed.peer_urls.clone() };
        let fresh = Member::registered(key, registration, Revision::FIRST);
        let was_started = on_record.as_ref().is_some_and(|member| member.started);
        let (founder, join_issued) =
            on_record.map_or((None, None), |member| (member.founder.clone(), member.join_issued.clone()));
        let member = Member {
            client_urls: observed.client_urls.clone(),
            role: observed.role(),
            started: was_started || observed.identified || (observed.name.is_some() && founder.is_none()),
            founder,
            join_issued,
            ..fresh
        };
        let message = format!("{} added as {}", member.name(), member.role);
        self.draft.add(member, EventKind::MemberAdded, message);
    }

    /// etcd learns a member's name when the member starts. Until then the ticket has the name of the node that joins.
    fn name_of(&self, observed: &ObservedMember, is_confirmed: bool) -> MemberName {
        let joiner = || self.joiner_of(observed).cloned();
        let unnamed = || observed.id.to_string().parse().expect("hexadecimal digits make a name");
        let is_credible = |name: &MemberName| is_confirmed || !self.is_name_of_another(name, observed);
        let listed = observed.name.clone().filter(is_credible);
        listed.or_else(joiner).unwrap_or_else(unnamed)
    }

    /// Records that a member has run, and what its node reports about it that the registry does not know yet. What it knows, only
    /// etcd's list changes: a report may be forged. Returns the member afterwards.
    pub(super) fn reconcile_own_member(&mut self, own: &Arc<Member>) -> Arc<Member> {
        let Planner { report, .. } = *self;
        let mut after = Member::clone(own);
        after.started = true;
        if report.is_running() {
            if own.is_unnamed() {
                after.registration.name = report.name.clone();
            }
            // A node that has moved, or a copy, must not lead others astray before etcd's list has it there.
            if own.client_urls.is_empty() && own.has_peer_urls(&report.peer_urls) {
                after.client_urls = report.client_urls.clone();
            }
        }
        if after == **own {
            return own.clone();
        }
        let message = match report.is_running() {
            true => differences(own, &after),
            false => format!("{} has data", after.name()),
        };
        self.draft.update(&own.key, EventKind::MemberUpdated, message, |member| *member = after);
        self.draft.member(&own.key).unwrap_or(own).clone()
    }
}

/// Whether a list lacks a member that was on record before the list was read.
fn is_gone(view: &View, member: &Member) -> bool {
    member.created <= view.since && !is_listed(view, &member.key)
}

fn is_listed(view: &View, key: &MemberKey) -> bool {
    key.id().is_some_and(|id| view.members.iter().any(|observed| observed.id == id))
}

/// The message of an event that changes a member, such as `infra2 started`.
fn differences(before: &Member, after: &Member) -> String {
    let (urls, client_urls) = (&after.registration.peer_urls, &after.client_urls);
    let changes = [
        (before.name() != after.name()).then(|| format!("renamed from {}", before.name())),
        (before.started != after.started).then(|| "started".to_owned()),
        (before.role != after.role && after.is_voter()).then(|| "promoted to voter".to_owned()),
        (before.role != after.role && !after.is_voter()).then(|| "became a learner".to_owned()),
        (before.registration.peer_urls != *urls).then(|| format!("moved to {}", urls_of(urls))),
        (before.client_urls != *client_urls).then(|| format!("serves clients at {}", urls_of(client_urls))),
    ];
    format!("{} {}", after.name(), changes.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
