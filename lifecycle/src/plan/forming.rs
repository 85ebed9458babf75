use std::sync::Arc;

use super::Planner;
use crate::{
    BootstrapIssued, ClientUrl, ClusterId, EventKind, Founder, Instruction, LastCheckIn, MAX_MEMBERS, Member, MemberId,
    MemberKey, Protocol, Reason, Registration, ReportedState, Revision, RunId, Task,
};

impl Planner<'_> {
    /// A node without data, while the cluster forms: it registers, and waits until as many nodes are there as the
    /// cluster has places. From then on these are the founders, and each is told to bootstrap with the others.
    pub(super) fn form_cluster(&mut self) -> Instruction {
        if let Some(discovery) = self.draft.protocol.and_then(Protocol::discovery) {
            let message = format!("stock etcds form this cluster by {discovery}, and the two can't mix");
            return self.refuse(
                Reason::FormsByDiscovery,
                message,
                "start this node with etcd alone and its discovery flags, as the others, or make a new cluster for \
                 nodes that check in",
            );
        }
        if self.report.leaving {
            let own = self.draft.members().find(|member| self.is_own_member(member)).cloned();
            if let Some(own) = own {
                self.draft.remove(&own.key, true, format!("{} does not want to be a founder any more", own.name()));
            }
            return self.left("this node is no member and has no data; nothing is left to do");
        }
        if self.draft.policy.paused {
            return self.paused();
        }
        self.drop_silent_registrants();
        let own = match self.register() {
            Ok(own) => own,
            Err(refusal) => return *refusal,
        };
        let (here, size) = (self.draft.members().count(), self.draft.size.get() as usize);
        if here < size {
            let message = format!("{here} of {size} nodes are here; waits for {} more to bootstrap with", size - here);
            return self.wait(Reason::Forming, message);
        }
        self.freeze_roster(size);
        match self.draft.member(&own).cloned() {
            Some(own) => self.bootstrap(&own),
            None => self.join_cluster(),
        }
    }

    /// A founder without data, or `None` if it had some: then it has lost its disk.
    ///
    /// Whoever was never told to bootstrap can't have written anything; but a client that does not name its runs could
    /// not be told again, so it joins like any other once the cluster exists. Whoever was told may have, unless the
    /// same run of its client asks again: so it is told again in a new epoch at most, and only when all founders are
    /// there without data.
    pub(super) fn resume_forming(&mut self, own: &Arc<Member>) -> Option<Instruction> {
        let founder = own.founder.as_ref().filter(|_| !own.started && self.roster_is_intact())?;
        match &founder.issued {
            None if self.report.run == RunId::unnamed() && self.draft.bootstrapped.is_some() => None,
            None if self.draft.policy.paused => Some(self.paused()),
            None => Some(self.bootstrap(own)),
            Some(issued) if self.is_same_run(issued) => Some(self.bootstrap(own)),
            Some(_) if self.draft.bootstrapped.is_some() => None,
            Some(_) if self.draft.policy.paused => Some(self.paused()),
            Some(_) if self.report.view.is_none() => {
                Some(self.observe("this node may have bootstrapped before, so the other founders are looked for"))
            }
            Some(_) if self.all_founders_are_empty() => Some(self.start_next_epoch()),
            Some(_) => {
                let message = "this node was told to bootstrap before and has no data now; whether the cluster exists \
                               is known when the other founders check in or answer";
                Some(self.wait(Reason::FoundersMissing, message))
            }
        }
    }

    /// Drops registrations of nodes that have gone: nobody was told of them yet, so their places are free.
    fn drop_silent_registrants(&mut self) {
        let dead_after = self.draft.policy.dead_after;
        let absent = |member: &&Arc<Member>| {
            !self.is_own_member(member) && self.liveness.silence(member, self.now) >= dead_after
        };
        let absent: Vec<Arc<Member>> = self.draft.members().filter(absent).cloned().collect();
        for member in absent {
            let message = format!("{} ({}) has gone before the cluster formed", member.name(), member.key);
            self.draft.remove(&member.key, true, message);
        }
    }

    fn register(&mut self) -> Result<MemberKey, Box<Instruction>> {
        let own = self.draft.members().find(|member| self.is_own_member(member)).cloned();
        if let Some(own) = own {
            return Ok(own.key.clone());
        }
        let former = self.draft.members().find(|member| self.is_own_former_registration(member)).cloned();
        let others: Vec<Arc<Member>> = self
            .draft
            .members()
            .filter(|member| former.as_ref().is_none_or(|own| own.key != member.key))
            .cloned()
            .collect();
        let by_peer_url = || others.iter().find_map(|other| self.peer_url_conflict(other));
        let by_name = || others.iter().find_map(|other| self.name_conflict(other));
        if let Some(refusal) = by_peer_url().or_else(by_name) {
            return Err(Box::new(refusal));
        }
        if self.draft.record.len() >= MAX_MEMBERS {
            let message = format!("{MAX_MEMBERS} nodes have registered under this token, more than any cluster has");
            return Err(Box::new(self.refuse(Reason::TooManyMembers, message, "make a new cluster")));
        }
        if let Some(former) = former {
            self.draft.remove(&former.key, true, format!("{} has other peer URLs now", former.name()));
        }
        Ok(self.add_founder(self.report_registration(), self.report.client_urls.clone()))
    }

    fn report_registration(&self) -> Registration {
        Registration { name: self.report.name.clone(), peer_urls: self.report.peer_urls.clone() }
    }

    fn add_founder(&mut self, registration: Registration, client_urls: Vec<ClientUrl>) -> MemberKey {
        let token = self.draft.initial_cluster_token();
        let key = MemberKey::from(MemberId::of_founder(&registration.peer_urls, &token));
        let message = format!("{} ({key}) registered to bootstrap the cluster", registration.name);
        let fresh = Member::registered(key.clone(), registration, Revision::FIRST);
        let founder = Some(Founder { issued: None });
        let member = Member { founder, client_urls, ..fresh };
        self.draft.add(member, EventKind::MemberRegistered, message);
        key
    }

    /// Makes those that are there the founders; who came after the last place is a spare.
    fn freeze_roster(&mut self, size: usize) {
        for member in self.draft.members().skip(size).cloned().collect::<Vec<_>>() {
            let message = format!("{} ({}) came after the last place was taken", member.name(), member.key);
            self.draft.remove(&member.key, true, message);
        }
        let cluster_id = ClusterId::of_founders(self.draft.members().filter_map(|member| member.key.id()));
        let message = format!("{size} nodes are here, and bootstrap etcd cluster {cluster_id}");
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
        let message = match self.draft.members().count() {
            1 => "this node is the only founder; bootstrap alone".to_owned(),
            founders => format!("all {founders} founders are known; bootstrap with them"),
        };
        self.answer(Task::Bootstrap(self.start_as(&own.key)), Reason::RosterComplete, message)
    }

    /// Begins a new epoch with the same founders: none of them has data, so no cluster exists.
    fn start_next_epoch(&mut self) -> Instruction {
        let founders: Vec<Arc<Member>> = self.draft.members().cloned().collect();
        let size = founders.len();
        self.draft.begin_epoch("all founders are here, and none of them has data");
        let again = |founder: &Arc<Member>| self.add_founder(founder.registration.clone(), founder.client_urls.clone());
        let keys: Vec<MemberKey> = founders.iter().map(again).collect();
        self.freeze_roster(size);
        let own =
            keys.iter().filter_map(|key| self.draft.member(key)).find(|member| self.is_own_member(member)).cloned();
        match own {
            Some(own) => self.bootstrap(&own),
            None => self.full(),
        }
    }

    /// This node has to have said it before, too: its report may be of a run that was over when the next one was told,
    /// and only got stuck on its way. Asking twice at once does not count as saying it before.
    fn all_founders_are_empty(&self) -> bool {
        let node = self.liveness.nodes.get(&self.report.name);
        let said_before = node.is_some_and(|node| node.run == self.report.run && node.at < self.now);
        said_before && self.draft.members().all(|member| self.is_empty_founder(member))
    }

    /// Whether a founder is there and said, after it was last told anything, that it has no data. The run that was
    /// told is told again whenever it asks, so what it said does not count: it may have bootstrapped since.
    fn is_empty_founder(&self, member: &Member) -> bool {
        let issued = member.founder.as_ref().and_then(|founder| founder.issued.as_ref());
        let said_since = |node: &LastCheckIn| issued.is_none_or(|issued| node.run != issued.run && node.at > issued.at);
        let node = self.liveness.nodes.get(member.name());
        member.founder.is_some()
            && !member.started
            && node.is_some_and(|node| {
                node.state == ReportedState::Nothing
                    && member.has_peer_urls(&node.peer_urls)
                    && said_since(node)
                    && node.at.age(self.now) < self.draft.policy.dead_after
            })
    }

    /// Whether the present members are those that the epoch's cluster ID was computed from.
    fn roster_is_intact(&self) -> bool {
        let token = self.draft.initial_cluster_token();
        let ids = self.draft.members().map(|member| MemberId::of_founder(&member.registration.peer_urls, &token));
        self.draft.cluster_id == Some(ClusterId::of_founders(ids))
    }

    /// Whether the run that was told is the one that asks. A client that does not name its runs is believed only
    /// while nobody has shown that the cluster exists.
    fn is_same_run(&self, issued: &BootstrapIssued) -> bool {
        issued.run == self.report.run && (issued.run != RunId::unnamed() || self.draft.bootstrapped.is_none())
    }

    /// Whether a member is this node's, by name and address.
    pub(super) fn is_own_member(&self, member: &Member) -> bool {
        *member.name() == self.report.name && member.has_peer_urls(&self.report.peer_urls)
    }

    /// Whether a registration is this node's from before its address changed.
    fn is_own_former_registration(&self, member: &Member) -> bool {
        let node = self.liveness.nodes.get(member.name());
        *member.name() == self.report.name
            && self.report.run != RunId::unnamed()
            && node.is_some_and(|node| node.run == self.report.run && member.has_peer_urls(&node.peer_urls))
    }

    /// What a node hears that wants to leave and is no member.
    pub(super) fn left(&self, message: impl Into<String>) -> Instruction {
        self.answer(Task::StandBy, Reason::Left, message)
    }
}
