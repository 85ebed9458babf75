use std::sync::Arc;

use super::{Planner, quorum_view::QuorumView};
use crate::{Identity, Instruction, Member, MemberKey, Reason, Strategy, Task};

impl Planner<'_> {
    /// A node with data whose etcd does not run.
    ///
    /// Data is set aside only if it is certain that it is of no use here; in doubt etcd is started, which guards
    /// itself.
    pub(super) fn start_stopped(&mut self, identity: Identity) -> Instruction {
        if let Some(instruction) = self.check_cluster_id(identity) {
            return instruction;
        }
        let key = MemberKey::from(identity.member);
        if let Some(own) = self.draft.member(&key).cloned() {
            return self.start_own_member(&own, identity);
        }
        let removal = self.draft.record.iter().find(|member| member.key == key).and_then(|member| member.removed);
        if removal.is_some_and(|removal| removal.confirmed) {
            return self.archive_removed_member(&key);
        }
        if self.draft.formed.is_none() && !self.report.leaving {
            return self.start_unverified("the registry does not know this member");
        }
        match self.quorum_view() {
            Ok(_) => self.archive_removed_member(&key),
            Err(instruction) if self.report.leaving || matches!(instruction.task, Task::Observe(_)) => *instruction,
            Err(_) => self.start_unverified("whether this is still a member can't be seen from here now"),
        }
    }

    /// What follows if the data belongs to another cluster.
    fn check_cluster_id(&mut self, identity: Identity) -> Option<Instruction> {
        if self.draft.earlier_cluster_ids.contains(&identity.cluster) {
            if self.report.leaving {
                return Some(self.left("the data is of an earlier epoch, and nothing is left to do"));
            }
            let message = format!("the data is of an earlier epoch; the present one is {}", self.draft.epoch);
            return Some(self.answer(Task::ArchiveData, Reason::EarlierEpoch, message));
        }
        let known = self.draft.cluster_id?;
        (known != identity.cluster).then(|| {
            let message = format!("the data is of etcd cluster {}, and this one is {known}", identity.cluster);
            if self.report.leaving {
                return self.refuse(Reason::ForeignCluster, message, "let this node leave under that cluster's token");
            }
            self.answer(Task::ArchiveData, Reason::ForeignData, message)
        })
    }

    /// What becomes of data whose member is certain to be gone. A node that wanted to leave is through: its data is in
    /// nobody's way unless it comes back.
    pub(super) fn archive_removed_member(&self, key: &MemberKey) -> Instruction {
        if self.report.leaving {
            return self.left(format!("this node has left: member {key} is not in the cluster any more"));
        }
        let message = format!("the data is of member {key}, which was removed from the cluster");
        self.answer(Task::ArchiveData, Reason::RemovedMember, message)
    }

    fn start_unverified(&self, why: &str) -> Instruction {
        self.answer(Task::Start(None), Reason::Uncertain, format!("{why}; start, and etcd decides"))
    }

    fn start_own_member(&mut self, own: &Arc<Member>, identity: Identity) -> Instruction {
        if let Some(refusal) = self.identity_conflict(own) {
            return refusal;
        }
        self.confirm_cluster(identity);
        let own = &self.reconcile_own_member(own);
        self.release_ended_ticket();
        if self.report.leaving && self.draft.policy.paused {
            return self.paused();
        }
        if self.report.leaving {
            return match self.quorum_view() {
                Ok(view) => self.remove_member(own, &view, Reason::Leaving, "the node wants to leave"),
                Err(instruction) => *instruction,
            };
        }
        if !own.has_peer_urls(&self.report.peer_urls) && self.may_change_members() {
            match self.quorum_view() {
                Ok(view) => return self.update_address_before_start(own, &view),
                Err(observe) if matches!(observe.task, Task::Observe(_)) => return *observe,
                // At its new address nobody would find it, and nobody needs it for a leader: they have one soon.
                Err(wait) if self.others_can_elect(own) => return *wait,
                Err(_) => {}
            }
        }
        if let Some(instruction) = self.wait_for_own_removal(own) {
            return instruction;
        }
        // Somebody may have removed it from etcd with nobody here to tell. A look shows that; one that shows nothing
        // keeps nobody from starting.
        if self.report.view.is_none() && self.draft.members().any(|member| member.key != own.key) {
            return self.observe("whether this node's member is still in etcd's list is looked for before it starts");
        }
        let message = format!("the data is of member {} of this cluster", own.key);
        self.answer(Task::Start(Some(self.start_as(&own.key))), Reason::OwnData, message)
    }

    /// The member is about to be removed, if it is. If that is its own node's doing, then it goes on; else it waits for
    /// the outcome, so that it is not removed while it runs. `None` means that it starts: nobody is removed while there
    /// is no quorum, which may need this very member, or while the cluster is paused.
    fn wait_for_own_removal(&mut self, own: &Arc<Member>) -> Option<Instruction> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.purpose.removes() == Some(&own.key))?;
        let is_own = ticket.holder == self.report.name;
        if is_own && self.draft.policy.paused {
            return None;
        }
        match self.quorum_view() {
            Ok(view) if is_own => Some(self.remove_member(own, &view, Reason::Leaving, "the node was about to leave")),
            Ok(_) => {
                let message = format!("member {} is being removed; wait for the outcome", own.key);
                Some(self.wait(Reason::BeingRemoved, message))
            }
            Err(observe) if matches!(observe.task, Task::Observe(_)) => Some(*observe),
            Err(_) => None,
        }
    }

    fn update_address_before_start(&mut self, own: &Arc<Member>, view: &QuorumView<'_>) -> Instruction {
        match self.ticket_held_by_other() {
            Some(wait) => wait,
            None => self.update_address(own, view),
        }
    }

    pub(super) fn may_change_members(&self) -> bool {
        !self.draft.policy.paused && self.draft.policy.strategy != Strategy::Prepared
    }
}
