//! What a client does with an instruction, and what it verifies itself before.

use std::{sync::Arc, time::Duration};

use convene_lifecycle::{ClusterId, EtcdFlags, Identity, MemberId, MemberKey, PeerUrl, Reason, Task, Terms};

use super::{
    raft::{Entry, Etcd},
    rules::{Broken, ClientRules, REQUEST_TIMEOUT, Rules, is_requested},
    world::{Client, Disk, Flaw, Order, Process, Sent, World, machine_at, peer_url},
};

impl World {
    /// A client executes its order: all of it, or the next part.
    pub fn act(&mut self, n: usize, rules: &Rules) {
        if !self.has_client(n) {
            return;
        }
        match std::mem::take(&mut self.machines[n].client) {
            Client::Instructed(order) => self.execute(n, &order, rules),
            Client::Sent(order, sent) => self.deliver(n, &order, sent, rules),
            client => self.machines[n].client = client,
        }
    }

    fn execute(&mut self, n: usize, order: &Arc<Order>, rules: &Rules) {
        let age = order.given_at.age(self.now);
        let is_current = age < self.cluster.policy.dead_after;
        match &order.task {
            Task::Start(_) if is_current => self.start(n, order.twin_reports, &rules.client),
            Task::ArchiveData => self.archive(n, order, &rules.client),
            Task::Bootstrap(flags) => self.bootstrap(n, flags, &rules.client),
            Task::Join(flags) if is_current => self.join(n, flags),
            task => {
                if let Some(terms) = task.terms().filter(|terms| age <= terms.act_within) {
                    self.verify_change(n, order, terms, &rules.client);
                }
            }
        }
    }

    /// etcd starts on existing data. A member that was removed finds out at once, and exits.
    pub fn start(&mut self, n: usize, twin_reports: bool, rules: &ClientRules) {
        let machine = &self.machines[n];
        let Some(disk) = machine.disk.as_ref().filter(|_| machine.process == Process::Off) else { return };
        let (etcd, identity) = (disk.etcd, disk.identity);
        if rules.looks_for_twin && self.visible_twin(n).is_some() {
            return;
        }
        if self.etcds[etcd].member(identity.member).is_none() {
            return;
        }
        self.check_for_twin(n, etcd, identity.member, twin_reports);
        if !self.over {
            self.machines[n].process = Process::Loading;
        }
    }

    /// One member, one process. Where neither the node nor the registry could have known of the other one, no rule helps.
    fn check_for_twin(&mut self, n: usize, etcd: usize, member: MemberId, twin_reports: bool) {
        match self.runner(etcd, member, Some(n)) {
            Some(_) if twin_reports || self.visible_twin(n).is_some() => self.breaks(Broken::TwoProcesses),
            Some(_) => self.over = true,
            None => {}
        }
    }

    /// etcd has loaded its data, or it ends.
    pub fn settle(&mut self, n: usize) {
        if self.machines[n].process != Process::Loading || self.machines[n].frozen.is_some() {
            return;
        }
        if self.machines[n].flaw == Some(Flaw::CrashLoop) {
            self.machines[n].process = Process::Off;
            self.machines[n].start_client();
            return;
        }
        let name = self.machines[n].name;
        let Some(disk) = &self.machines[n].disk else { return };
        let (etcd, member) = (disk.etcd, disk.identity.member);
        let entry = self.etcds[etcd].members.iter_mut().find(|entry| entry.id == member);
        let Some(entry) = entry else {
            self.machines[n].process = Process::Off;
            return;
        };
        entry.name = Some(name);
        self.machines[n].process = Process::Running;
    }

    fn archive(&mut self, n: usize, order: &Order, rules: &ClientRules) {
        let Some(disk) = self.machines[n].disk.clone() else { return };
        if rules.verifies_archive && !self.may_archive(n, order, rules) {
            if self.machines[n].process == Process::Off {
                self.start(n, order.twin_reports, rules);
            }
            return;
        }
        let of_disk = &self.etcds[disk.etcd];
        let is_listed = of_disk.member(disk.identity.member).is_some();
        if is_listed && self.machines[n].process != Process::Off {
            // A running etcd has locked its data directory. A removed one ends by itself.
            return;
        }
        let is_needed = disk.led && of_disk.is_real && is_listed;
        if is_needed && !self.sees_other_quorum(n, disk.identity.cluster) {
            self.breaks(Broken::DataSetAside);
        }
        let machine = &mut self.machines[n];
        (machine.disk, machine.process) = (None, Process::Off);
        machine.archived.push(disk.identity.member);
    }

    /// Whether a machine sees a quorum of the registry's cluster now, and its data is of another one.
    fn sees_other_quorum(&self, n: usize, own: ClusterId) -> bool {
        let reading = self.read(n).filter(|reading| reading.linearizable);
        let seen = reading.map(|reading| self.etcds[reading.etcd].id);
        seen.is_some_and(|seen| seen != own && self.cluster.cluster_id == Some(seen))
    }

    /// What the client itself has to see before it archives data.
    fn may_archive(&self, n: usize, order: &Order, rules: &ClientRules) -> bool {
        let Some(disk) = &self.machines[n].disk else { return false };
        let own = disk.identity;
        match order.reason {
            Reason::EarlierEpoch if !disk.led => true,
            Reason::RemovedMember => self.sees_removal(n, own, rules),
            _ => {
                let reading = self.read(n).filter(|reading| reading.linearizable);
                let seen = reading.map(|reading| self.etcds[reading.etcd].id);
                seen.is_some() && seen == order.seen && seen != Some(own.cluster)
            }
        }
    }

    /// Whether the list of the data's own cluster lacks the member, and everybody who answers agrees.
    fn sees_removal(&self, n: usize, own: Identity, rules: &ClientRules) -> bool {
        let Some(reading) = self.read(n).filter(|reading| reading.linearizable) else { return false };
        let etcd = &self.etcds[reading.etcd];
        let lists_own = |etcd: &Etcd| etcd.id == own.cluster && etcd.member(own.member).is_some();
        if etcd.id != own.cluster || lists_own(etcd) {
            return false;
        }
        let answer = |at: usize| {
            let disk = self.machines[at].disk.as_ref().filter(|_| self.gets_answer(n, at))?;
            Some((disk.identity, &self.etcds[disk.etcd]))
        };
        let voters: Vec<&Entry> = etcd.voters().collect();
        let agree = |entry: &&&Entry| {
            let answer = (entry.at < self.machines.len()).then(|| answer(entry.at)).flatten();
            answer.is_some_and(|(identity, etcd)| identity.cluster == own.cluster && !lists_own(etcd))
        };
        let agreeing: Vec<&&Entry> = voters.iter().filter(agree).collect();
        let known = self.machines[n].disk.as_ref().map(|disk| disk.known.clone()).unwrap_or_default();
        let is_known = agreeing.iter().any(|entry| known.contains(&(entry.id, entry.at)));
        let mut asked = self.addresses(n);
        asked.extend(etcd.members.iter().map(|entry| entry.at));
        asked.retain(|at| *at != n && *at < self.machines.len());
        let contradicts = asked.into_iter().filter_map(answer).any(|(_, etcd)| lists_own(etcd));
        agreeing.len() * 2 > voters.len() && !contradicts && (is_known || !rules.asks_known_members)
    }

    /// etcd starts without data, as a founder of a new cluster.
    fn bootstrap(&mut self, n: usize, flags: &EtcdFlags, rules: &ClientRules) {
        let machine = &self.machines[n];
        if machine.disk.is_some() || machine.process != Process::Off {
            return;
        }
        let token = flags.initial_cluster_token.clone();
        let roster: Vec<(usize, MemberId)> =
            roster(flags).into_iter().map(|at| (at, MemberId::of_founder(&[peer_url(at)], &token))).collect();
        let id = ClusterId::of_founders(roster.iter().map(|(_, id)| *id));
        let Some(own) = roster.iter().find(|(at, _)| *at == n).map(|(_, id)| *id) else { return };
        if rules.looks_for_archives && self.machines[n].archived.contains(&own) {
            return;
        }
        let runs_another = |at: &usize| {
            let disk = self.machines.get(*at).and_then(|machine| machine.disk.as_ref());
            self.gets_answer(n, *at) && disk.is_some_and(|disk| self.etcds[disk.etcd].id != id)
        };
        if rules.looks_at_founders && roster.iter().any(|(at, _)| runs_another(at)) {
            return;
        }
        let has_data = |at: usize| {
            let is_its = |disk: &Disk| disk.etcd == at;
            self.machines.iter().flat_map(|machine| [&machine.disk, &machine.other_disk.data]).flatten().any(is_its)
        };
        let another = (0..self.etcds.len()).any(|at| {
            let etcd = &self.etcds[at];
            etcd.is_real && etcd.led && !etcd.given_up && etcd.id != id && has_data(at)
        });
        if another && !self.has_forged_founders {
            self.breaks(Broken::TwoClusters);
        }
        let at =
            self.etcds.iter().position(|etcd| etcd.id == id && etcd.is_real && !etcd.given_up).unwrap_or_else(|| {
                let members = roster.iter().map(|(at, id)| Entry::new(*id, *at, Some(self.name_at(*at)), false));
                let members = members.collect();
                self.etcds.push(Etcd::founded(id, token, members));
                self.etcds.len() - 1
            });
        if self.etcds[at].booted.contains(&own) && self.etcds[at].led {
            self.breaks(Broken::StartedWithoutData);
        }
        self.etcds[at].booted.push(own);
        self.machines[n].disk = Some(self.fresh_disk(at, own));
        self.machines[n].process = Process::Loading;
    }

    fn name_at(&self, at: usize) -> usize {
        self.machines.get(at).map_or(at, |machine| machine.name)
    }

    /// etcd starts without data, as the member with its peer URL. It fails unless a member answers and the flags name all
    /// members.
    fn join(&mut self, n: usize, flags: &EtcdFlags) {
        let machine = &self.machines[n];
        if machine.disk.is_some() || machine.process != Process::Off {
            return;
        }
        if machine.flaw == Some(Flaw::CannotJoin) {
            self.machines[n].start_client();
            return;
        }
        let answering = roster(flags).into_iter().filter(|at| *at != n && self.gets_answer(n, *at));
        let Some(etcd) = answering.filter_map(|at| self.machines[at].disk.as_ref()).map(|disk| disk.etcd).next() else {
            return;
        };
        let mut listed: Vec<usize> = self.etcds[etcd].members.iter().map(|entry| entry.at).collect();
        listed.sort_unstable();
        let own = self.etcds[etcd].members.iter().find(|entry| entry.at == n && listed == roster(flags)).cloned();
        let Some(own) = own else { return };
        if own.name.is_some() {
            self.breaks(Broken::StartedWithoutData);
        }
        self.machines[n].disk = Some(self.fresh_disk(etcd, own.id));
        self.machines[n].process = Process::Loading;
    }

    /// Verifies right before a membership change what it rests on, and sends the request.
    fn verify_change(&mut self, n: usize, order: &Arc<Order>, terms: &Terms, rules: &ClientRules) {
        let Some(reading) = self.read(n).filter(|reading| reading.linearizable) else { return };
        let etcd = &self.etcds[reading.etcd];
        let mut found: Vec<(MemberId, bool)> = etcd.members.iter().map(|entry| (entry.id, entry.learner)).collect();
        found.sort_unstable();
        let expected: Vec<(MemberId, bool)> = terms.expect.iter().map(|entry| (entry.id, entry.learner)).collect();
        if found != expected || self.machines[n].flaw == Some(Flaw::NoRights) {
            return;
        }
        let mut sent = Sent { etcd: reading.etcd, at: self.now, victim_ran_unheard: false };
        match &order.task {
            Task::RemoveMember { member, .. } => {
                let victim = id(member);
                if rules.looks_again && !is_requested(order.reason) && self.seems_alive(n, reading.etcd, victim) {
                    return;
                }
                sent.victim_ran_unheard =
                    self.runner(reading.etcd, victim, None).is_some() && !self.is_heard(reading.etcd, victim);
            }
            Task::UpdateMember { member, .. } if rules.looks_for_twin => {
                let is_stopped = self.machines[n].process == Process::Off;
                if self.visible_twin(n).is_some() || is_stopped && self.sees_heard(n, reading.etcd, id(member)) {
                    return;
                }
            }
            _ => {}
        }
        self.machines[n].client = Client::Sent(order.clone(), sent);
    }

    /// Whether an etcd answers this machine at the member's address, or the leader hears the member. A node that does not
    /// reach the leader does not know.
    fn seems_alive(&self, n: usize, etcd: usize, victim: MemberId) -> bool {
        let state = &self.etcds[etcd];
        let Some(entry) = state.member(victim) else { return false };
        if self.answer(n, entry.at).is_some_and(|identity| identity.cluster == state.id) {
            return true;
        }
        // A learner that nobody has ever reached can't become a voter.
        let counts = !entry.learner || entry.round_trips > 0;
        !self.reads_counters(n, etcd) || self.is_heard(etcd, victim) && counts
    }

    /// Whether a machine sees by the leader's counters that the leader hears a member.
    fn sees_heard(&self, n: usize, etcd: usize, member: MemberId) -> bool {
        self.reads_counters(n, etcd) && self.is_heard(etcd, member)
    }

    fn reads_counters(&self, n: usize, etcd: usize) -> bool {
        let leader = self.etcds[etcd].leader.and_then(|leader| self.host(etcd, leader));
        leader.is_some_and(|leader| self.gets_answer(n, leader))
    }

    /// etcd receives a request for a membership change, and needs a quorum for it.
    fn deliver(&mut self, n: usize, order: &Order, sent: Sent, rules: &Rules) {
        let is_late = sent.at.age(self.now) >= REQUEST_TIMEOUT;
        if is_late && rules.client.takes_back_requests || self.etcds[sent.etcd].leader.is_none() {
            return;
        }
        match &order.task {
            Task::AddMember { learner, .. } => self.add(n, sent.etcd, *learner, rules),
            Task::RemoveMember { member, .. } | Task::Leave { member, .. } => {
                self.remove(sent, id(member), order, rules);
            }
            Task::Promote { member, .. } => self.promote(sent.etcd, id(member), rules),
            Task::UpdateMember { member, peer_urls, .. } => {
                self.update(n, sent.etcd, id(member), &peer_urls[0], order.twin_reports);
            }
            _ => {}
        }
    }

    fn add(&mut self, n: usize, etcd: usize, learner: bool, rules: &Rules) {
        let state = &self.etcds[etcd];
        let is_listed = state.members.iter().any(|entry| entry.at == n);
        let has_learner = learner && state.members.iter().any(|entry| entry.learner);
        if is_listed || has_learner || !rules.guard.may_add(&state.for_guard(), learner, self.voters_heard(etcd)) {
            return;
        }
        let entry = Entry::new(self.fresh_id(n), n, None, learner);
        self.etcds[etcd].members.push(entry);
        self.etcds[etcd].members.sort_by_key(|entry| entry.id);
    }

    fn remove(&mut self, sent: Sent, victim: MemberId, order: &Order, rules: &Rules) {
        if !self.moves_leadership(sent.etcd, victim) {
            return;
        }
        let guarded = self.etcds[sent.etcd].for_guard();
        let Some(leaver) = guarded.member(victim) else { return };
        let (is_heard, heard) = (self.is_heard(sent.etcd, victim), self.voters_heard(sent.etcd));
        if !rules.guard.may_remove(&guarded, leaver, is_heard, heard)
            || (guarded.voters().count() == 1 && !leaver.learner)
        {
            return;
        }
        if let Some(host) = self.runner(sent.etcd, victim, None) {
            // A joiner that gets nowhere loses its place, whatever it reports.
            let reports = order.victim_reports && !leaver.learner;
            let is_heard_now = self.machines[host].process == Process::Running && is_heard && !sent.victim_ran_unheard;
            // Nor does a learner keep its place that nobody has ever reached.
            let entry = self.etcds[sent.etcd].member(victim);
            let runs = is_heard_now && entry.is_some_and(|entry| !entry.learner || entry.round_trips > 0);
            let is_alive = runs || reports;
            if is_alive && !order.requested {
                self.breaks(Broken::AliveRemoved);
            }
            // A member that is cut off does not receive its removal.
            if is_heard {
                self.machines[host].process = Process::Off;
            }
        }
        self.etcds[sent.etcd].members.retain(|entry| entry.id != victim);
    }

    /// A leader that leaves hands over to another voter first. If none can lead, it stays.
    fn moves_leadership(&mut self, etcd: usize, leaver: MemberId) -> bool {
        if self.etcds[etcd].leader != Some(leaver) {
            return true;
        }
        let others: Vec<MemberId> =
            self.etcds[etcd].voters().map(|voter| voter.id).filter(|id| *id != leaver).collect();
        let next = others.into_iter().find(|id| self.can_lead(etcd, *id));
        self.etcds[etcd].leader = next.or(Some(leaver));
        next.is_some()
    }

    fn promote(&mut self, etcd: usize, learner: MemberId, rules: &Rules) {
        let is_ready = self.is_heard(etcd, learner);
        if !is_ready && rules.guard != crate::etcd::Guard::Off {
            return;
        }
        let is_reached = self.is_reached_by_a_voter(etcd, learner);
        let Some(entry) = self.etcds[etcd].members.iter_mut().find(|entry| entry.id == learner && entry.learner) else {
            return;
        };
        entry.learner = false;
        if !is_reached && entry.round_trips == 0 {
            self.breaks(Broken::UnreachablePromoted);
        }
    }

    fn is_reached_by_a_voter(&self, etcd: usize, learner: MemberId) -> bool {
        let voters: Vec<MemberId> = self.etcds[etcd].voters().map(|voter| voter.id).collect();
        voters.into_iter().any(|voter| self.reaches(etcd, voter, learner))
    }

    fn update(&mut self, n: usize, etcd: usize, member: MemberId, url: &PeerUrl, twin_reports: bool) {
        let at = machine_at(url.as_str());
        if self.etcds[etcd].members.iter().any(|entry| entry.peer_url() == *url && entry.id != member) {
            return;
        }
        if at == n {
            self.check_for_twin(n, etcd, member, twin_reports);
        }
        if let Some(entry) = self.etcds[etcd].members.iter_mut().find(|entry| entry.id == member) {
            (entry.at, entry.is_respelled) = (at, *url != peer_url(at));
        }
    }

    /// An unused member ID.
    fn fresh_id(&self, n: usize) -> MemberId {
        let used = |id: MemberId| {
            let in_etcd = self.etcds.iter().any(|etcd| etcd.member(id).is_some() || etcd.booted.contains(&id));
            let on_disk = self.machines.iter().any(|machine| machine.identity().is_some_and(|own| own.member == id));
            in_etcd || on_disk || self.cluster.record.iter().any(|member| member.key.id() == Some(id))
        };
        let mut ids = (0x1000 * (n as u64 + 1)..).map(MemberId);
        ids.find(|id| !used(*id)).expect("numbers don't run out")
    }
}

/// How long a node with data waits for the registry before it starts without it.
pub const OFFLINE_GRACE: Duration = Duration::from_secs(10);

fn roster(flags: &EtcdFlags) -> Vec<usize> {
    let urls = flags.initial_cluster.split(',').filter_map(|pair| pair.split_once('='));
    let mut machines: Vec<usize> = urls.map(|(_, url)| machine_at(url)).collect();
    machines.sort_unstable();
    machines
}

fn id(member: &MemberKey) -> MemberId {
    member.id().expect("every member of the world has an ID of etcd's")
}
