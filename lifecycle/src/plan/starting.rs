use std::sync::Arc;

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
    quorum_view::QuorumView,
};
use crate::{Identity, Instruction, Member, MemberKey, Task};

impl Planner<'_> {
    /// A node with data whose etcd does not run.
    ///
    /// The data is set aside only if it is certain that this cluster does not need it. In doubt etcd starts: it checks
    /// its membership itself.
    pub(super) fn start_stopped(&mut self, identity: Identity) -> Decision {
        if let Some(decision) = self.check_cluster_id(identity) {
            return decision;
        }
        let key = MemberKey::from(identity.member);
        if let Some(own) = self.draft.member(&key).cloned() {
            return self.start_own_member(&own, identity);
        }
        if self.is_confirmed_removal(&key) {
            return Ok(self.archive_removed_member(&key));
        }
        if self.draft.formed.is_none() && !self.report.leaving {
            if self.report.view.is_none() {
                return Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart));
            }
            return Ok(self.instruct(Task::Start(None), Cause::UnknownMember));
        }
        match self.quorum_view() {
            Ok(_) => Ok(self.archive_removed_member(&key)),
            Err(blocked) if self.report.leaving || blocked.needs_view() => Err(blocked),
            Err(_) => Ok(self.instruct(Task::Start(None), Cause::MembershipNotVisible)),
        }
    }

    /// A node whose etcd loads its data. It can do nothing but wait.
    pub(super) fn watch_start(&mut self, identity: Identity) -> Decision {
        if self.draft.member(&identity.member.into()).is_some() {
            self.confirm_cluster(identity);
        }
        Ok(self.instruct(Task::Wait, Cause::Loading))
    }

    /// The decision, if the data is of another cluster.
    fn check_cluster_id(&mut self, identity: Identity) -> Option<Decision> {
        if self.draft.earlier_cluster_ids.contains(&identity.cluster) {
            let instruction = match self.report.leaving {
                true => self.instruct(Task::StandBy, Cause::LeftInEarlierEpoch),
                false => self.instruct(Task::ArchiveData, Cause::EarlierEpoch { current: self.draft.epoch }),
            };
            return Some(Ok(instruction));
        }
        let (found, own) = (identity.cluster, self.draft.cluster_id?);
        (found != own).then(|| match self.report.leaving {
            true => Err(Blocked::LeavingForeignCluster { found, own }),
            false => Ok(self.instruct(Task::ArchiveData, Cause::ForeignData { found, own })),
        })
    }

    /// Whether etcd's own list has shown that a member was removed.
    pub(super) fn is_confirmed_removal(&self, key: &MemberKey) -> bool {
        let removal = self.draft.record.iter().find(|member| member.key == *key).and_then(|member| member.removed);
        removal.is_some_and(|removal| removal.confirmed)
    }

    /// For data whose member was certainly removed. A node that leaves keeps its data: no other node needs the directory.
    pub(super) fn archive_removed_member(&self, key: &MemberKey) -> Instruction {
        match self.report.leaving {
            true => self.instruct(Task::StandBy, Cause::LeftAsMember { member: key.clone() }),
            false => self.instruct(Task::ArchiveData, Cause::RemovedMember { member: key.clone() }),
        }
    }

    fn start_own_member(&mut self, own: &Arc<Member>, identity: Identity) -> Decision {
        if let Some(decision) = self.restart_never_led(own, identity) {
            return decision;
        }
        self.check_identity_is_unique(own)?;
        // Data that has never had a leader does not show that the cluster exists.
        let reconciled = match self.report.has_never_led_data() && self.draft.bootstrapped.is_none() {
            true => own.clone(),
            false => {
                self.confirm_cluster(identity);
                self.reconcile_own_member(own)
            }
        };
        let own = &reconciled;
        self.release_done_or_expired_ticket();
        if self.report.leaving {
            if self.draft.policy.paused {
                return Err(Blocked::Paused);
            }
            let view = self.quorum_view()?;
            return self.remove_member(own, &view, Cause::Leaving);
        }
        if let Some(decision) = self.replace_rolled_back(own) {
            return decision;
        }
        if !own.has_peer_urls(&self.report.peer_urls) && self.may_change_members() {
            match self.quorum_view() {
                Ok(view) => return self.update_before_start(own, &view),
                Err(blocked) if blocked.needs_view() => return Err(blocked),
                // No member would find it at its new peer URLs, and the others elect a leader without it.
                Err(blocked) if self.others_can_elect(own) => return Err(blocked),
                Err(_) => {}
            }
        }
        if let Some(decision) = self.finish_own_removal(own) {
            return decision;
        }
        // The member may have been removed from etcd without the registry. A view shows that. A view that shows no quorum
        // does not keep the member from starting.
        if self.report.view.is_none() && self.draft.members().any(|member| member.key != own.key) {
            return Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart));
        }
        let flags = self.etcd_flags(&own.key);
        Ok(self.instruct(Task::Start(Some(flags)), Cause::OwnData { member: own.key.clone() }))
    }

    /// The decision, if a ticket is about to remove the member. If the node's own leave asked for it, the leave goes on.
    /// If another node did, this node waits, so that its member is not removed while it runs. `None` if the member
    /// starts: nothing is removed while there is no quorum, which may need this member, or while the cluster is paused.
    fn finish_own_removal(&mut self, own: &Arc<Member>) -> Option<Decision> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.purpose.removes() == Some(&own.key))?;
        let is_own = ticket.holder == self.report.name;
        if is_own && self.draft.policy.paused {
            return None;
        }
        match self.quorum_view() {
            Ok(view) if is_own => Some(self.remove_member(own, &view, Cause::LeavingContinued)),
            Ok(_) => Some(Err(Blocked::BeingRemoved { member: own.label() })),
            Err(blocked) if blocked.needs_view() => Some(Err(blocked)),
            Err(_) => None,
        }
    }

    fn update_before_start(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Decision {
        self.check_ticket_is_free()?;
        self.update_peer_urls(own, view)
    }
}
