//! Whose word changes what on record.
//!
//! A node's credential speaks for that node. So its view may change what the registry knows of its own member, and what the
//! ticket explains. Any other change of voters takes the nodes of two voters that show the same list, where there are two.

use std::sync::Arc;

use super::Planner;
use crate::{
    Identity, LastCheckIn, Member, MemberKey, MemberName, ObservedMember, Purpose, View, liveness::is_vouched_for,
};

/// How many nodes of voters must show a change of other members.
const ENOUGH: usize = 2;

impl Planner<'_> {
    /// Whether the node's view may change the record of any member: it and the nodes of other voters that show the same list are
    /// enough.
    pub(super) fn may_speak_for_others(&self, view: &View) -> bool {
        let enough = self.liveness.credentials(&self.draft).min(ENOUGH);
        let own = usize::from(self.has_voice());
        let seconds = || self.liveness.seconds(&self.draft, &self.report.name, view, self.now).count();
        match enough {
            0 => !self.is_unvouched(),
            _ => own >= enough || own + seconds() >= enough,
        }
    }

    /// Whether the node has the data of a member of this cluster.
    fn is_own(&self, key: &MemberKey) -> bool {
        let is_of_cluster = |own: &Identity| self.draft.cluster_id.is_none_or(|id| id == own.cluster);
        self.report.identity().filter(is_of_cluster).is_some_and(|own| MemberKey::from(own.member) == *key)
    }

    /// Whether the list's removal of a member is no surprise: nobody else speaks for the member, it does not vote, or the ticket's
    /// holder was instructed to remove it. Or it has no say itself, so that anybody may have made it up, and this node has one.
    ///
    /// That it seems to be dead is no more than this node's word, again: where only `convene join` runs, all healthy members are silent.
    pub(super) fn is_expected_to_go(&self, member: &Member) -> bool {
        let is_instructed =
            || self.draft.ticket.as_ref().and_then(|ticket| ticket.purpose.removes()) == Some(&member.key);
        let may_be_made_up = || !self.liveness.has_voice(&self.draft, member) && self.has_voice();
        !member.is_voter()
            || self.is_own(&member.key)
            || *member.name() == self.report.name
            || !self.liveness.has_credential(&self.draft, member)
            || is_instructed()
            || may_be_made_up()
    }

    /// Whether nobody but the node itself says who it is.
    pub(super) fn is_unvouched(&self) -> bool {
        self.liveness.is_unvouched(&self.draft, &self.report.name, self.report.identity())
    }

    /// Whether the node has a say about the other members.
    fn has_voice(&self) -> bool {
        self.liveness.is_voice(&self.draft, self.report)
    }

    /// The voters on record whose absence from a list has to be weighed. Where some have a say, those that anybody may have made up
    /// don't count.
    pub(super) fn weighed_voters(&self) -> impl Iterator<Item = &Arc<Member>> {
        let may_be_made_up = |voter: &Member| {
            self.liveness.has_credential(&self.draft, voter) && !self.liveness.has_voice(&self.draft, voter)
        };
        let has_others = self.draft.voters().any(|voter| !may_be_made_up(voter));
        self.draft.voters().filter(move |voter| !has_others || !may_be_made_up(voter))
    }

    /// Whether one node's view suffices to put a listed member on record: the ticket's holder was instructed to add it, it is this
    /// node's, or it is the learner of a node that checks in. In an open cluster anybody can be a new node, so its voter must not have
    /// started.
    pub(super) fn may_be_added(&self, observed: &ObservedMember) -> bool {
        let is_unstarted = || observed.name.is_none() && !observed.identified && !self.is_own(&observed.id.into());
        let may_vote = || is_vouched_for(&self.draft, &self.report.name) || is_unstarted();
        self.joiner_of(observed).is_some()
            || (self.is_own_entry(observed) && (observed.learner || may_vote()))
            || self.is_learner_of_spare(observed)
    }

    /// Whether a listed member may be the learner that a spare has added, and that did not get further. etcd takes one learner at a
    /// time (`server/etcdserver/api/membership/cluster.go:ValidateConfigurationChange`).
    fn is_learner_of_spare(&self, observed: &ObservedMember) -> bool {
        let is_at = |node: &LastCheckIn| node.peer_urls.iter().any(|url| observed.peer_urls.contains(url));
        let is_member = |name: &MemberName| self.draft.members().any(|member| member.name() == name);
        let has_node = || self.liveness.nodes.iter().any(|(name, node)| !is_member(name) && is_at(node));
        let is_guarded = self.liveness.credentials(&self.draft) > 0;
        observed.learner && (!is_guarded || (has_node() && self.draft.members().all(|member| member.is_voter())))
    }

    /// Whether a listed member is this node's, and the node has no other one. An unnamed voter may be the one that it has.
    fn is_own_entry(&self, observed: &ObservedMember) -> bool {
        let key = MemberKey::from(observed.id);
        let has_its_peer_urls = || observed.peer_urls.iter().any(|url| self.report.peer_urls.contains(url));
        (self.is_own(&key) || has_its_peer_urls()) && !self.has_another_member(&key)
    }

    /// Whether the node may have another member on record: one of its name, or a voter without a name.
    fn has_another_member(&self, than: &MemberKey) -> bool {
        let may_be_its =
            |member: &Member| *member.name() == self.report.name || (member.is_unnamed() && member.is_voter());
        self.draft.members().any(|member| member.key != *than && may_be_its(member))
    }

    /// The ticket's holder, if it joins with the peer URLs of a listed member.
    pub(super) fn joiner_of(&self, observed: &ObservedMember) -> Option<&MemberName> {
        let ticket = self.draft.ticket.as_ref()?;
        match &ticket.purpose {
            Purpose::Join { peer_urls, .. } if peer_urls.iter().any(|url| observed.peer_urls.contains(url)) => {
                Some(&ticket.holder)
            }
            _ => None,
        }
    }

    /// Whether a name in a list belongs to a node other than this one and the one that joins. Its credential stands for the name.
    pub(super) fn is_name_of_another(&self, name: &MemberName, observed: &ObservedMember) -> bool {
        *name != self.report.name
            && self.joiner_of(observed) != Some(name)
            && self.draft.admission.holder(name).is_some()
    }

    /// What a view may change of a member that is this node's or that no other node speaks for: everything. Of another one: what the
    /// ticket explains. Returns the member as the view shows it, without the rest.
    pub(super) fn as_far_as_credible(&self, member: &Member, shown: Member, observed: &ObservedMember) -> Member {
        let is_own = self.is_own(&member.key);
        let is_free = is_own || !self.liveness.has_credential(&self.draft, member);
        let mut after = shown;
        if !is_free || self.is_name_of_another(after.name(), observed) {
            after.registration.name = member.name().clone();
        }
        if !is_free && !self.is_update_of(member, &after) {
            after.registration.peer_urls = member.registration.peer_urls.clone();
        }
        if !is_free && !member.client_urls.is_empty() {
            after.client_urls = member.client_urls.clone();
        }
        let is_guarded = self.liveness.credentials(&self.draft) > 0;
        if member.role != after.role && is_guarded && !self.is_promotion_of(member) {
            after.role = member.role;
        }
        after
    }

    fn is_update_of(&self, member: &Member, after: &Member) -> bool {
        let ticket = self.draft.ticket.as_ref().map(|ticket| &ticket.purpose);
        matches!(ticket, Some(Purpose::Update { member: key, peer_urls }) if *key == member.key && after.has_peer_urls(peer_urls))
    }

    /// Whether the ticket's holder was instructed to promote a member. Or an administrator may have promoted it, and it is the only
    /// member of this node, for which an administrator stands.
    fn is_promotion_of(&self, member: &Member) -> bool {
        let is_by_ticket = self.draft.ticket.as_ref().is_some_and(|ticket| match &ticket.purpose {
            Purpose::Promote { member: key } => *key == member.key,
            purpose => purpose.joiner(&self.draft).is_some_and(|joiner| joiner.key == member.key),
        });
        let is_own = || {
            let is_vouched_for = is_vouched_for(&self.draft, &self.report.name);
            self.is_own(&member.key) && is_vouched_for && !self.has_another_member(&member.key)
        };
        !member.is_voter() && (is_by_ticket || is_own())
    }
}
