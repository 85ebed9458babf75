use std::sync::Arc;

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
};
use crate::{
    BootstrapIssued, ClientUrl, ClusterId, EventKind, Founder, Instruction, LastCheckIn, MAX_MEMBERS, Member, MemberId,
    MemberKey, Protocol, Registration, ReportedState, Revision, RunId, Task,
};

impl Planner<'_> {
    /// A node without data, while the cluster forms: it registers, and waits until as many nodes have registered as the
    /// cluster has places. These nodes are the founders. Each is instructed to bootstrap together with the others.
    pub(super) fn form_cluster(&mut self) -> Decision {
        if let Some(discovery) = self.draft.protocol.and_then(Protocol::discovery) {
            return Err(Blocked::FormsByDiscovery(discovery));
        }
        if self.report.leaving {
            if let Some(own) = self.own_member() {
                self.draft.remove(&own.key, true, format!("{} left before the cluster formed", own.name()));
            }
            return Ok(self.instruct(Task::StandBy, Cause::LeftWithoutMember));
        }
        if self.draft.policy.paused {
            return Err(Blocked::Paused);
        }
        self.drop_silent_registrants();
        let own = self.register_founder()?;
        let (registered, size) = (self.draft.members().count(), self.draft.size.get() as usize);
        if registered < size {
            return Err(Blocked::Forming { registered, size });
        }
        self.freeze_roster(size);
        match self.draft.member(&own).cloned() {
            Some(own) => Ok(self.bootstrap(&own)),
            None => self.join_cluster(),
        }
    }

    /// A founder without data, after the roster was frozen. `None` if it had data and has lost it.
    ///
    /// A founder that was never instructed to bootstrap has written nothing. If its client does not name its runs, it
    /// could not be instructed a second time, so it joins like any other node once the cluster exists. A founder that was
    /// instructed may have written data, unless the same run of its client asks again. So another run is instructed in a
    /// new epoch only, and only after all founders have checked in without data.
    pub(super) fn resume_forming(&mut self, own: &Arc<Member>) -> Option<Decision> {
        let founder = own.founder.as_ref().filter(|_| !own.started && self.roster_is_intact())?;
        match &founder.issued {
            None if self.report.run == RunId::unnamed() && self.draft.bootstrapped.is_some() => None,
            None if self.draft.policy.paused => Some(Err(Blocked::Paused)),
            None => Some(Ok(self.bootstrap(own))),
            Some(issued) if self.is_same_run(issued) => Some(Ok(self.bootstrap(own))),
            Some(_) if self.draft.bootstrapped.is_some() => None,
            Some(_) if self.draft.policy.paused => Some(Err(Blocked::Paused)),
            Some(_) if self.report.view.is_none() => Some(Err(Blocked::ViewNeeded(ViewNeeded::BeforeBootstrap))),
            Some(_) if self.all_founders_are_empty() => Some(self.start_next_epoch()),
            Some(_) => Some(Err(Blocked::FoundersMissing)),
        }
    }

    /// Removes registrations of silent nodes. No node knows of them before the roster is frozen, so their places are free.
    fn drop_silent_registrants(&mut self) {
        let dead_after = self.draft.policy.dead_after;
        let is_silent = |member: &&Arc<Member>| {
            !self.is_own_member(member) && self.liveness.silence(member, self.now) >= dead_after
        };
        let silent: Vec<Arc<Member>> = self.draft.members().filter(is_silent).cloned().collect();
        for member in silent {
            let message = format!("{} removed: silent while the cluster forms", member.name());
            self.draft.remove(&member.key, true, message);
        }
    }

    fn register_founder(&mut self) -> Result<MemberKey, Blocked> {
        if let Some(own) = self.own_member() {
            return Ok(own.key.clone());
        }
        let former = self.draft.members().find(|member| self.is_own_former_registration(member)).cloned();
        let is_other = |member: &&Arc<Member>| former.as_ref().is_none_or(|former| former.key != member.key);
        let others = || self.draft.members().filter(is_other);
        let by_peer_url = others().find_map(|other| self.peer_url_conflict(other));
        if let Some(conflict) = by_peer_url.or_else(|| others().find_map(|other| self.name_conflict(other))) {
            return Err(conflict);
        }
        if self.draft.record.len() >= MAX_MEMBERS {
            return Err(Blocked::TooManyMembers);
        }
        if let Some(former) = former {
            let message = format!("{} removed: it registers again with other peer URLs", former.name());
            self.draft.remove(&former.key, true, message);
        }
        let registration = Registration { name: self.report.name.clone(), peer_urls: self.report.peer_urls.clone() };
        Ok(self.add_founder(registration, self.report.client_urls.clone()))
    }

    fn add_founder(&mut self, registration: Registration, client_urls: Vec<ClientUrl>) -> MemberKey {
        let token = self.draft.initial_cluster_token();
        let key = MemberKey::from(MemberId::of_founder(&registration.peer_urls, &token));
        let message = format!("{} registered to bootstrap the cluster", registration.name);
        let fresh = Member::registered(key.clone(), registration, Revision::FIRST);
        let founder = Some(Founder { issued: None });
        let member = Member { founder, client_urls, ..fresh };
        self.draft.add(member, EventKind::MemberRegistered, message);
        key
    }

    /// Makes the first `size` registered nodes the founders. The nodes that registered later become spares.
    fn freeze_roster(&mut self, size: usize) {
        for member in self.draft.members().skip(size).cloned().collect::<Vec<_>>() {
            let message = format!("{} removed: it registered after the last place was taken", member.name());
            self.draft.remove(&member.key, true, message);
        }
        let cluster_id = ClusterId::of_founders(self.draft.members().filter_map(|member| member.key.id()));
        let message = format!("all {size} founders have registered; they bootstrap etcd cluster {cluster_id}");
        self.draft.change(EventKind::Formed, message, |cluster| {
            cluster.formed = Some(cluster.revision);
            cluster.cluster_id = Some(cluster_id);
        });
    }

    fn bootstrap(&mut self, own: &Arc<Member>) -> Instruction {
        let issued = own.founder.as_ref().and_then(|founder| founder.issued.as_ref());
        if issued.is_none_or(|issued| issued.run != self.report.run) {
            self.draft.record_bootstrap_issued(&own.key, &self.report.run);
        }
        let founders = self.draft.members().count();
        self.instruct(Task::Bootstrap(self.etcd_flags(&own.key)), Cause::RosterComplete { founders })
    }

    /// Starts a new epoch with the same founders. None of them has data, so no etcd cluster exists.
    fn start_next_epoch(&mut self) -> Decision {
        let founders: Vec<Arc<Member>> = self.draft.members().cloned().collect();
        let size = founders.len();
        self.draft.begin_epoch("all founders have checked in without data");
        let register =
            |founder: &Arc<Member>| self.add_founder(founder.registration.clone(), founder.client_urls.clone());
        let keys: Vec<MemberKey> = founders.iter().map(register).collect();
        self.freeze_roster(size);
        let own =
            keys.iter().filter_map(|key| self.draft.member(key)).find(|member| self.is_own_member(member)).cloned();
        match own {
            Some(own) => Ok(self.bootstrap(&own)),
            None => Err(self.full()),
        }
    }

    /// Whether every founder has reported that it has no data.
    ///
    /// This node must have reported it before, too. Its report may be of a run that ended before the next run was
    /// instructed, and may have been delayed on its way. Two reports at the same moment count as one.
    fn all_founders_are_empty(&self) -> bool {
        let node = self.liveness.nodes.get(&self.report.name);
        let reported_before = node.is_some_and(|node| node.run == self.report.run && node.at < self.now);
        reported_before && self.draft.members().all(|member| self.is_empty_founder(member))
    }

    /// Whether a founder is alive and has reported no data since it was last instructed. Reports of the instructed run
    /// don't count: it is instructed again whenever it asks, so it may have bootstrapped since.
    fn is_empty_founder(&self, member: &Member) -> bool {
        let issued = member.founder.as_ref().and_then(|founder| founder.issued.as_ref());
        let is_later_run =
            |node: &LastCheckIn| issued.is_none_or(|issued| node.run != issued.run && node.at > issued.at);
        let node = self.liveness.nodes.get(member.name());
        member.founder.is_some()
            && !member.started
            && node.is_some_and(|node| {
                node.state == ReportedState::Nothing
                    && member.has_peer_urls(&node.peer_urls)
                    && is_later_run(node)
                    && node.at.age(self.now) < self.draft.policy.dead_after
            })
    }

    /// Whether the present members are those from which the epoch's cluster ID was computed.
    fn roster_is_intact(&self) -> bool {
        let token = self.draft.initial_cluster_token();
        let ids = self.draft.members().map(|member| MemberId::of_founder(&member.registration.peer_urls, &token));
        self.draft.cluster_id == Some(ClusterId::of_founders(ids))
    }

    /// Whether the run that was instructed to bootstrap is the one that asks. A client that does not name its runs is
    /// believed only until the cluster is known to exist.
    fn is_same_run(&self, issued: &BootstrapIssued) -> bool {
        issued.run == self.report.run && (issued.run != RunId::unnamed() || self.draft.bootstrapped.is_none())
    }

    /// The present member that has this node's name and its peer URLs.
    pub(super) fn own_member(&self) -> Option<Arc<Member>> {
        self.draft.members().find(|member| self.is_own_member(member)).cloned()
    }

    fn is_own_member(&self, member: &Member) -> bool {
        *member.name() == self.report.name && member.has_peer_urls(&self.report.peer_urls)
    }

    /// Whether a registration is this node's from before its peer URLs changed.
    fn is_own_former_registration(&self, member: &Member) -> bool {
        let node = self.liveness.nodes.get(member.name());
        *member.name() == self.report.name
            && self.report.run != RunId::unnamed()
            && node.is_some_and(|node| node.run == self.report.run && member.has_peer_urls(&node.peer_urls))
    }
}
