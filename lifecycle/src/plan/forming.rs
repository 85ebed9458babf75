use std::{collections::BTreeMap, sync::Arc};

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
    cause::Cause,
};
use crate::{
    ClientUrl, ClusterId, EventKind, Founder, Instruction, MAX_MEMBERS, Member, MemberId, MemberKey, MemberName,
    Protocol, Registration, Revision, RunId, StartIssued, Task,
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
        self.check_founding()?;
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
            None => Some(self.bootstrap_unless_held(own)),
            Some(issued) if self.is_same_run(issued) => Some(self.bootstrap_unless_held(own)),
            Some(_) => self.resume_instructed_founder(),
        }
    }

    /// Another run of a founder that was instructed to bootstrap.
    fn resume_instructed_founder(&mut self) -> Option<Decision> {
        let exists = self.draft.bootstrapped.is_some();
        let founders = self.founders_that_never_led().filter(|_| self.has_reported_before());
        if exists && founders.is_none() {
            return None;
        }
        if self.draft.policy.paused {
            return Some(Err(Blocked::Paused));
        }
        if let Err(held) = self.check_founding() {
            return Some(Err(held));
        }
        if self.report.view.is_none() {
            return Some(Err(Blocked::ViewNeeded(ViewNeeded::BeforeBootstrap)));
        }
        Some(match founders {
            Some(founders) => self.start_next_epoch(founders),
            None => Err(Blocked::FoundersMissing),
        })
    }

    /// A founder without data whose peer URLs have changed since it registered. `None` if the cluster may exist.
    pub(super) fn resume_moved_founder(&mut self) -> Option<Decision> {
        let is_founder = |member: &&Arc<Member>| *member.name() == self.report.name && member.founder.is_some();
        let has_moved = self.draft.members().any(|member| is_founder(&member) && !self.is_own_member(member));
        if !has_moved || self.report.view.is_none() || self.draft.policy.paused || !self.has_reported_before() {
            return None;
        }
        let founders = self.founders_that_never_led()?;
        Some(self.start_next_epoch(founders))
    }

    /// Removes registrations of silent nodes. No node knows of them before the roster is frozen, so their places are free.
    fn drop_silent_registrants(&mut self) {
        let dead_after = self.draft.policy.dead_after;
        let is_silent = |member: &&Arc<Member>| {
            !self.is_own_member(member) && self.liveness.silence(&self.draft.policy, member, self.now) >= dead_after
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
        let founder = Some(Founder::default());
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
        if own.bootstrap_issued().is_none_or(|issued| issued.run != self.report.run) {
            self.draft.record_bootstrap_issued(&own.key, self.report);
        }
        let founders = self.draft.members().count();
        self.instruct(Task::Bootstrap(self.etcd_flags(&own.key)), Cause::RosterComplete { founders })
    }

    fn bootstrap_unless_held(&mut self, own: &Arc<Member>) -> Decision {
        self.check_founding()?;
        Ok(self.bootstrap(own))
    }

    fn start_next_epoch(&mut self, founders: Vec<Registration>) -> Decision {
        self.check_founding()?;
        self.begin_next_epoch(founders);
        match self.own_member() {
            Some(own) => Ok(self.bootstrap(&own)),
            None => Err(self.full()),
        }
    }

    /// Begins a new epoch with the same founders. None of them has data of a cluster that has had a leader.
    pub(super) fn begin_next_epoch(&mut self, founders: Vec<Registration>) {
        let client_urls: BTreeMap<MemberName, Vec<ClientUrl>> =
            self.draft.members().map(|member| (member.name().clone(), member.client_urls.clone())).collect();
        let size = founders.len();
        self.draft.give_up_attempt("no founder has data that has had a leader");
        for registration in founders {
            let client_urls = client_urls.get(&registration.name).cloned().unwrap_or_default();
            self.add_founder(registration, client_urls);
        }
        self.freeze_roster(size);
    }

    /// Whether an earlier check-in of the node's run has been recorded. The report of a node without data may be of a run
    /// that ended before the next run was instructed, and may have been delayed on its way. Two reports at the same moment
    /// count as one.
    fn has_reported_before(&self) -> bool {
        let node = self.liveness.nodes.get(&self.report.name);
        node.is_some_and(|node| node.run == self.report.run && node.at < self.now)
    }

    /// Whether the present members are those from which the epoch's cluster ID was computed.
    pub(super) fn roster_is_intact(&self) -> bool {
        let token = self.draft.initial_cluster_token();
        let ids = self.draft.members().map(|member| MemberId::of_founder(&member.registration.peer_urls, &token));
        self.draft.cluster_id == Some(ClusterId::of_founders(ids))
    }

    /// Whether the run that was instructed to bootstrap is the one that asks. A client that does not name its runs is
    /// believed only until the cluster is known to exist.
    fn is_same_run(&self, issued: &StartIssued) -> bool {
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
