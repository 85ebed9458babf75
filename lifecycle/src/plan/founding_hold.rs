//! Nobody founds a cluster next to one that may exist.

use std::sync::Arc;

use super::{Planner, blocked::Blocked};
use crate::{
    Cluster, ClusterId, Epoch, EventKind, Held, HoldReason, Identity, JoinPolicy, Liveness, Member, MemberKey,
    MemberName, NodeState, Report, Transition, UnixMillis, token::is_key_segment,
};

impl Cluster {
    /// Holds the founding of the cluster if the report of a node that was refused shows that another one may exist. `None` if nothing
    /// changes.
    ///
    /// A registry that was lost has also lost the credentials of the nodes. So the word of a node without one decides nothing, but it
    /// is enough to wait. A node that has no say could hold every new attempt; so an administrator who has reset the cluster is
    /// believed.
    pub fn hold_on_refused_report(&self, report: &Report, now: UnixMillis) -> Option<Transition> {
        if self.epoch != Epoch::FIRST {
            return None;
        }
        let liveness = Liveness::new(now);
        let mut planner = Planner::new(self, &liveness, report, now);
        if planner.may_be_held()
            && let Some((reason, found)) = planner.evidence_of_another_cluster()
        {
            planner.draft.hold(reason, Some(&report.name), found);
        }
        planner.draft.finish()
    }
}

impl Planner<'_> {
    /// Fails while the founding of the cluster is held.
    pub(super) fn check_founding(&self) -> Result<(), Blocked> {
        match &self.draft.held {
            Some(held) => Err(self.held(held)),
            None => Ok(()),
        }
    }

    pub(super) fn held(&self, held: &Held) -> Blocked {
        // The name stands in a command that people copy, and a refused node may have given itself any name.
        let is_plain = |node: &MemberName| is_key_segment(node.as_str());
        let is_refused = |node: &MemberName| {
            self.draft.policy.join == JoinPolicy::Token && self.draft.admission.holder(node).is_none() && is_plain(node)
        };
        let refused = held.node.clone().filter(is_refused);
        Blocked::Held { held: held.clone(), refused }
    }

    /// Holds the founding of the cluster if the report shows that another one may exist.
    pub(super) fn hold_founding_on_evidence(&mut self) {
        if !self.may_be_held() {
            return;
        }
        if let Some((reason, found)) = self.evidence_of_another_cluster() {
            self.draft.hold(reason, Some(&self.report.name), found);
        } else if self.roster_is_intact() && self.may_have_led_on_other_disks() {
            self.draft.hold(HoldReason::DisksMissing, Some(&self.report.name), self.draft.cluster_id);
        }
    }

    /// Whether the report may hold the founding. A node that leaves another cluster says nothing about this one.
    fn may_be_held(&self) -> bool {
        !self.draft.is_founded() && self.draft.held.is_none() && !self.report.leaving
    }

    /// Ends the hold because of missing disks once they are back, and have no data.
    pub(super) fn release_hold_if_disks_are_back(&mut self) {
        let is_of_disks = self.draft.held.as_ref().is_some_and(|held| held.reason == HoldReason::DisksMissing);
        if is_of_disks && self.disks_are_back() {
            self.draft
                .release_hold("its founders are back on the disks that they had, which have no data of a cluster");
        }
    }

    /// Ends the hold once the cluster is known to exist. Nobody founds it any more then.
    pub(super) fn release_hold_if_founded(&mut self) {
        let Some(held) = self.draft.held.as_ref().filter(|_| self.draft.is_founded()) else { return };
        if held.reason == HoldReason::StoreWentBack {
            self.forget_instructions();
        }
        self.draft.release_hold("the etcd cluster exists");
    }

    /// A database that went back in time does not know which founders have bootstrapped since. They may have had data, and
    /// lost it, so none is instructed to bootstrap again.
    fn forget_instructions(&mut self) {
        let is_open = |member: &&Arc<Member>| member.founder.is_some() && !member.started;
        for member in self.draft.members().filter(is_open).cloned().collect::<Vec<_>>() {
            let message = format!("{} may have bootstrapped the cluster already", member.name());
            self.draft.update(&member.key, EventKind::MemberUpdated, message, |member| {
                (member.founder, member.started) = (None, true);
            });
        }
    }

    fn evidence_of_another_cluster(&self) -> Option<(HoldReason, Option<ClusterId>)> {
        let report = self.report;
        let shows_cluster = |own: &Identity| !self.is_of_given_up_attempt(*own) || self.shows_leader(*own);
        let unknown = report.identity().filter(|own| self.is_unknown(own.cluster));
        if let Some(identity) = unknown.filter(shows_cluster) {
            return Some((HoldReason::DataReported, Some(identity.cluster)));
        }
        // An administrator who has reset the cluster knows of what is older.
        let is_first = self.draft.epoch == Epoch::FIRST;
        if is_first && self.draft.formed.is_none() && matches!(report.state, NodeState::Unreadable { .. }) {
            return Some((HoldReason::DataReported, None));
        }
        let view = report.view.as_ref()?;
        if let Some(found) = view.cluster.filter(|found| view.linearizable && self.is_unknown(*found)) {
            let has_own_url = |url| report.peer_urls.contains(url);
            let is_own = view.members.iter().any(|observed| observed.peer_urls.iter().any(has_own_url));
            let is_vacant = self.draft.formed.is_none() && self.draft.members().next().is_none();
            if is_own || is_vacant {
                return Some((HoldReason::ClusterAnswers, Some(found)));
            }
        }
        (is_first && view.since > self.draft.revision).then_some((HoldReason::NewerView, view.cluster))
    }

    /// Whether data is of a founder of an earlier attempt to form the cluster, which was given up because the founders' reports showed
    /// no leader.
    pub(super) fn is_of_given_up_attempt(&self, data: Identity) -> bool {
        let is_founder = |member: &Arc<Member>| member.founder.is_some() && member.key == MemberKey::from(data.member);
        self.is_unknown(data.cluster) && self.draft.record.iter().any(is_founder)
    }

    /// Whether the report shows that the cluster of the node's data has had a leader. An etcd may run without one.
    fn shows_leader(&self, data: Identity) -> bool {
        let view = self.report.view.as_ref();
        match self.report.state {
            NodeState::Stopped(_) => !self.report.data.never_led,
            _ => view
                .is_some_and(|view| view.linearizable && view.leader.is_some() && view.cluster == Some(data.cluster)),
        }
    }

    /// Whether the registry does not know this etcd cluster.
    fn is_unknown(&self, id: ClusterId) -> bool {
        self.draft.cluster_id != Some(id) && !self.draft.earlier_cluster_ids.contains(&id)
    }
}
