use std::sync::Arc;

use super::{
    Planner,
    blocked::{Blocked, ViewNeeded, urls_of},
};
use crate::{EtcdVersion, Member, MemberId, ObservedMember, View};

/// A view that was read through the quorum and agrees with the registry. Decisions rest on a quorum view only.
#[derive(Clone, Copy)]
pub(super) struct QuorumView<'a> {
    view: &'a View,
    /// The observing node's own member, if it runs. It reaches itself.
    own: Option<MemberId>,
}

impl QuorumView<'_> {
    /// Whether a member answered.
    pub fn is_up(&self, member: &Member) -> bool {
        self.observed(member).is_some_and(|observed| observed.reachable || Some(observed.id) == self.own)
    }

    /// Whether this node is a running voter that a member answered.
    pub fn is_reached_by_voter(&self, member: &Member) -> bool {
        let is_voter = |own| self.view.members.iter().any(|observed| observed.id == own && !observed.learner);
        self.own.is_some_and(is_voter) && self.observed(member).is_some_and(|observed| observed.reachable)
    }

    /// How often the leader has reached a member's peer URLs.
    pub fn round_trips(&self, member: &Member) -> Option<u64> {
        self.observed(member)?.round_trips
    }

    /// The version of a member's etcd.
    pub fn version(&self, member: &Member) -> Option<EtcdVersion> {
        self.observed(member)?.version
    }

    /// The leader.
    pub fn leader(&self) -> Option<MemberId> {
        self.view.leader
    }

    /// Whether a member is the leader.
    pub fn leads(&self, member: &Member) -> bool {
        member.key.id().is_some_and(|id| self.view.leader == Some(id))
    }

    /// How far a member has applied the log.
    pub fn applied(&self, member: &Member) -> Option<u64> {
        self.observed(member)?.applied_index
    }

    fn observed(&self, member: &Member) -> Option<&ObservedMember> {
        self.view.observed(member.key.id()?)
    }
}

impl<'a> Planner<'a> {
    /// The node's quorum view, or why it has none.
    pub(super) fn quorum_view(&self) -> Result<QuorumView<'a>, Blocked> {
        let view = self.report.view.as_ref().ok_or(Blocked::ViewNeeded(ViewNeeded::Decision))?;
        // If the cluster's ID is unknown, the registry would have adopted the cluster by now if any member were its own.
        let is_known = self.draft.cluster_id.is_some() || view.linearizable;
        if let Some(found) = view.cluster.filter(|found| is_known && self.draft.cluster_id != Some(*found)) {
            if self.draft.cluster_id.is_none() && self.is_unvouched() {
                return Err(Blocked::NobodyVouches { found });
            }
            return Err(Blocked::ForeignClusterAnswers { found, own: self.draft.cluster_id });
        }
        let own = self.report.identity().filter(|_| self.report.is_running()).map(|own| own.member);
        let quorum_view = QuorumView { view, own };
        if view.cluster.is_none() || !view.linearizable || view.leader.is_none() {
            return Err(self.no_quorum(&quorum_view));
        }
        let missing = self.missing_without_evidence(view);
        if !missing.is_empty() {
            return Err(Blocked::MemberMismatch { missing });
        }
        let listed = self.given_up_but_listed(view);
        if !listed.is_empty() {
            return Err(Blocked::GivenUpListed { listed });
        }
        if !self.unconfirmed.is_empty() {
            return Err(Blocked::Unconfirmed { shown: self.unconfirmed.clone() });
        }
        if !self.agrees_with_record(view) {
            return Err(Blocked::ViewNeeded(ViewNeeded::Newer));
        }
        Ok(quorum_view)
    }

    /// Which voters are silent, and whether the reason may be that all addresses have changed.
    fn no_quorum(&self, view: &QuorumView<'_>) -> Blocked {
        let own = self.report.identity().and_then(|own| self.draft.member(&own.member.into()));
        let is_silent = |voter: &&Arc<Member>| !view.is_up(voter) && own.is_none_or(|own| own.key != voter.key);
        let silent: Vec<String> = self.draft.voters().filter(is_silent).map(|voter| voter.label()).collect();
        let moved = own.filter(|own| {
            let others = self.draft.voters().filter(|voter| voter.key != own.key).count();
            silent.len() == others && others > 0 && own.shared_peer_url(&self.report.peer_urls).is_none()
        });
        match moved {
            Some(own) => Blocked::AllAddressesChanged {
                silent,
                listed: urls_of(&own.registration.peer_urls),
                own: urls_of(&self.report.peer_urls),
            },
            None if self.draft.voters().filter(|voter| view.is_up(voter)).count() >= self.draft.quorum() => {
                Blocked::NoLeader { silent }
            }
            None => Blocked::NoQuorum { silent },
        }
    }

    /// Whether a member is connected to the leader, so that it counts towards the quorum. While it is not known whether the
    /// leader hears it, it counts if it answered this node.
    pub(super) fn is_connected(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        let is_heard = || self.liveness.is_heard(view.leader(), member, self.now);
        view.leads(member) || is_heard().unwrap_or_else(|| view.is_up(member))
    }

    /// The voters that answer this node although the leader does not hear them.
    pub(super) fn unheard(&self, view: &QuorumView<'_>) -> Vec<String> {
        let is_unheard = |voter: &&Arc<Member>| view.is_up(voter) && !self.is_connected(voter, view);
        self.draft.voters().filter(is_unheard).map(|voter| voter.label()).collect()
    }

    /// Whether the other voters that answer can elect a leader without this member, even if they have none right now.
    pub(super) fn others_can_elect(&self, own: &Member) -> bool {
        self.other_voters_that_answer(own).is_some_and(|up| up >= self.draft.quorum())
    }

    /// How many other voters answer this node. `None` if it has no view of the cluster.
    pub(super) fn other_voters_that_answer(&self, own: &Member) -> Option<usize> {
        let view = self.report.view.as_ref().filter(|view| view.cluster == self.draft.cluster_id)?;
        let view = QuorumView { view, own: None };
        Some(self.draft.voters().filter(|voter| voter.key != own.key && view.is_up(voter)).count())
    }

    /// Whether the record has the members that the view shows, in the same roles and with the same peer URLs.
    fn agrees_with_record(&self, view: &View) -> bool {
        let is_on_record = |observed: &ObservedMember| {
            let member = self.draft.member(&observed.id.into());
            member.is_some_and(|member| member.role == observed.role() && member.has_peer_urls(&observed.peer_urls))
        };
        view.members.iter().all(is_on_record) && self.draft.members().count() == view.members.len()
    }
}
