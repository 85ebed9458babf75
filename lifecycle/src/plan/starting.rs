use std::sync::Arc;

use super::{Planner, look::Look};
use crate::{EventKind, Identity, Instruction, Member, MemberKey, Reason, Strategy, Task};

impl Planner<'_> {
    /// A node with data whose etcd does not run.
    ///
    /// Data is set aside only if it is certain that it is of no use here; in doubt etcd is started, which guards
    /// itself.
    pub(super) fn start(&mut self, identity: Identity) -> Instruction {
        if let Some(instruction) = self.judge_cluster(identity) {
            return instruction;
        }
        let key = MemberKey::from(identity.member);
        if let Some(own) = self.draft.member(&key).cloned() {
            return self.start_own(&own, identity);
        }
        let removal = self.draft.record.iter().find(|member| member.key == key).and_then(|member| member.removed);
        if removal.is_some_and(|removal| removal.confirmed) {
            return self.retire(&key);
        }
        if self.draft.formed.is_none() && !self.report.leaving {
            return self.start_uncertain("the registry does not know this member");
        }
        match self.look() {
            Ok(_) => self.retire(&key),
            Err(instruction) if self.report.leaving || matches!(instruction.task, Task::Observe(_)) => *instruction,
            Err(_) => self.start_uncertain("whether this is still a member can't be seen from here now"),
        }
    }

    /// What follows if the data belongs to another cluster.
    fn judge_cluster(&mut self, identity: Identity) -> Option<Instruction> {
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
    pub(super) fn retire(&self, key: &MemberKey) -> Instruction {
        if self.report.leaving {
            return self.left(format!("this node has left: member {key} is not in the cluster any more"));
        }
        let message = format!("the data is of member {key}, which was removed from the cluster");
        self.answer(Task::ArchiveData, Reason::RemovedMember, message)
    }

    fn start_uncertain(&self, why: &str) -> Instruction {
        self.answer(Task::Start(None), Reason::Uncertain, format!("{why}; start, and etcd decides"))
    }

    fn start_own(&mut self, own: &Arc<Member>, identity: Identity) -> Instruction {
        if let Some(refusal) = self.contradiction(own) {
            return refusal;
        }
        self.know_cluster(identity);
        let own = &self.learn_from_own(own);
        self.settle_ticket();
        if self.report.leaving && self.draft.policy.paused {
            return self.paused();
        }
        if self.report.leaving {
            return match self.look() {
                Ok(look) => self.remove(own, &look, Reason::Leaving, "the node wants to leave"),
                Err(instruction) => *instruction,
            };
        }
        if !own.has_peer_urls(&self.report.peer_urls) && self.may_change_membership() {
            match self.look() {
                Ok(look) => return self.update_stopped(own, &look),
                Err(observe) if matches!(observe.task, Task::Observe(_)) => return *observe,
                // At its new address nobody would find it, and nobody needs it for a leader: they have one soon.
                Err(wait) if self.others_can_elect(own) => return *wait,
                Err(_) => {}
            }
        }
        if let Some(instruction) = self.start_removed(own) {
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
    fn start_removed(&mut self, own: &Arc<Member>) -> Option<Instruction> {
        let ticket = self.draft.ticket.as_ref().filter(|ticket| ticket.purpose.removes() == Some(&own.key))?;
        let is_own = ticket.holder == self.report.name;
        if is_own && self.draft.policy.paused {
            return None;
        }
        match self.look() {
            Ok(look) if is_own => Some(self.remove(own, &look, Reason::Leaving, "the node was about to leave")),
            Ok(_) => {
                let message = format!("member {} is being removed; wait for the outcome", own.key);
                Some(self.wait(Reason::BeingRemoved, message))
            }
            Err(observe) if matches!(observe.task, Task::Observe(_)) => Some(*observe),
            Err(_) => None,
        }
    }

    fn update_stopped(&mut self, own: &Arc<Member>, look: &Look<'_>) -> Instruction {
        match self.held_by_another() {
            Some(wait) => wait,
            None => self.update_address(own, look),
        }
    }

    pub(super) fn may_change_membership(&self) -> bool {
        !self.draft.policy.paused && self.draft.policy.strategy != Strategy::Prepared
    }

    /// A member of the record has data, so its cluster exists, and has the ID that the data has.
    pub(super) fn know_cluster(&mut self, identity: Identity) {
        self.know_cluster_id(identity);
        self.know_bootstrapped(&format!("member {} has data of it", identity.member));
    }

    pub(super) fn know_cluster_id(&mut self, identity: Identity) {
        if self.draft.cluster_id.is_none() {
            let message = format!("the etcd cluster's ID is {}", identity.cluster);
            self.draft.change(EventKind::Bootstrapped, message, |cluster| {
                cluster.cluster_id = Some(identity.cluster);
                cluster.formed = cluster.formed.or(Some(cluster.revision));
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
    }
}
