//! Check-ins: real ones, and those that somebody who knows the token makes up.

use std::{sync::Arc, time::Duration};

use convene_lifecycle::{
    ClusterId, DataEvidence, Identity, Instruction, MemberId, MemberKey, NodeState, Reason, Report, RunId, Task, View,
};

use super::{
    rules::{Broken, Rules},
    world::{Answer, Client, Flaw, Machine, Order, Process, World, name, peer_url},
};

impl World {
    /// A node checks in, and receives the answer. If that is `observe`, the node observes the cluster.
    pub fn check_in(&mut self, n: usize, rules: &Rules) {
        if !self.has_client(n) || self.machines[n].offline {
            return;
        }
        let report = self.report(n);
        if !self.is_admitted(&report) {
            // A supervisor starts the client again.
            self.machines[n].start_client();
            return;
        }
        let is_etcd = matches!(report.state, NodeState::Running(_) | NodeState::Starting(_));
        let instruction = self.handle(&report, rules);
        self.machines[n].answer = Answer { task: instruction.task.as_str(), reason: instruction.reason.as_str() };
        if report.state == NodeState::Empty {
            // The registry keeps one check-in a name, so that of an empty namesake hides the others.
            let (name, now) = (self.machines[n].name, self.now);
            let others =
                self.machines.iter_mut().enumerate().filter(|(other, machine)| *other != n && machine.name == name);
            others.for_each(|(_, machine)| machine.hidden_at = Some(now));
        }
        if is_etcd {
            self.machines[n].reported_etcd = Some(self.now);
        }
        let seen = report.view.as_ref().and_then(|view| view.cluster);
        self.machines[n].client = self.next(n, instruction, seen, rules);
    }

    /// Whether a node may check in with its data.
    pub fn is_admitted(&self, report: &Report) -> bool {
        self.liveness.member_of_another_node(&self.cluster, &report.name, report.identity()).is_none()
    }

    /// Handles a check-in in the registry.
    pub fn handle(&mut self, report: &Report, rules: &Rules) -> Instruction {
        self.liveness.resume(&self.cluster.policy, self.now);
        let plan = (rules.planner)(&self.cluster, &self.liveness, report, self.now);
        let after = plan.change.and_then(|change| change.after);
        let has_changed = after.is_some();
        self.cluster = after.map_or_else(|| self.cluster.clone(), Arc::new);
        self.liveness.record_check_in(&self.cluster, report, self.now);
        self.liveness.record_instruction(&self.cluster, report, &plan.instruction);
        if rules.settles && has_changed {
            let again = (rules.planner)(&self.cluster, &self.liveness, report, self.now);
            if again.change.is_some() || again.instruction != plan.instruction {
                self.breaks(Broken::NotSettled);
            }
        }
        plan.instruction
    }

    fn next(&mut self, n: usize, instruction: Instruction, seen: Option<ClusterId>, rules: &Rules) -> Client {
        match instruction.task {
            Task::Wait | Task::StandBy => Client::Idle,
            Task::Refuse { .. } => {
                // A supervisor starts the client again.
                self.machines[n].start_client();
                Client::Idle
            }
            Task::Observe(_) => Client::Observed(Arc::new(self.observe(n))),
            task => {
                let victim = match &task {
                    Task::RemoveMember { member, .. } | Task::Leave { member, .. } => Some(member.clone()),
                    _ => None,
                };
                let order = Order {
                    reason: instruction.reason,
                    given_at: self.now,
                    seen,
                    // A learner whose address has changed removes itself.
                    requested: instruction.reason == Reason::AddressChanged
                        || victim.as_ref().is_none_or(|victim| self.was_requested(victim)),
                    victim_reports: rules.is_honest
                        && victim.and_then(|victim| victim.id()).is_some_and(|id| self.victim_reports(id)),
                    twin_reports: rules.is_honest && self.twin_reports(n),
                    task,
                };
                Client::Instructed(Arc::new(order))
            }
        }
    }

    /// Whether the removal of this member was requested by an administrator, who evicted it or reduced the size.
    fn was_requested(&self, member: &MemberKey) -> bool {
        let Some(member) = self.cluster.member(member) else { return false };
        let (voters, size) = (self.cluster.voters().count(), self.cluster.size.get() as usize);
        let is_surplus = if member.is_voter() { voters > size } else { voters >= size };
        member.eviction.is_some() || is_surplus
    }

    /// Whether a member is alive by its own recent check-in. One whose etcd ends after each start is not.
    fn victim_reports(&self, id: MemberId) -> bool {
        let of_member = |machine: &&Machine| machine.identity().is_some_and(|own| own.member == id);
        let fails = |machine: &Machine| machine.flaw == Some(Flaw::CrashLoop);
        !self.machines.iter().filter(of_member).any(fails)
            && self.reports_etcd(id, None, self.cluster.policy.dead_after)
    }

    /// A client that ends once its etcd runs does not report for long, so another address counts for less time.
    fn twin_reports(&self, n: usize) -> bool {
        let policy = &self.cluster.policy;
        let time = policy.max_check_in_gap().min(policy.dead_after);
        self.machines[n].identity().is_some_and(|own| self.reports_etcd(own.member, Some(n), time))
    }

    /// Whether a machine, other than `than`, that runs this member has reported so in this time.
    fn reports_etcd(&self, id: MemberId, than: Option<usize>, time: Duration) -> bool {
        self.machines.iter().enumerate().any(|(n, machine)| {
            let is_hidden = machine.hidden_at.is_some_and(|at| at.age(self.now) < time);
            let is_recent = !is_hidden && machine.reported_etcd.is_some_and(|at| at.age(self.now) < time);
            let runs = machine.on && machine.process != Process::Off;
            Some(n) != than && runs && is_recent && machine.identity().is_some_and(|own| own.member == id)
        })
    }

    fn report(&mut self, n: usize) -> Report {
        let machine = &mut self.machines[n];
        machine.sequence += 1;
        let view = match &machine.client {
            Client::Observed(view) => Some(View::clone(view)),
            _ => None,
        };
        let state = match (machine.identity(), machine.process) {
            (None, _) => NodeState::Empty,
            (Some(identity), Process::Off) => NodeState::Stopped(identity),
            (Some(identity), Process::Loading) => NodeState::Starting(identity),
            (Some(identity), Process::Running) => NodeState::Running(identity),
        };
        let disk = machine.disk.as_ref();
        let data =
            DataEvidence { last_index: disk.map(|disk| disk.index), never_led: disk.is_some_and(|disk| !disk.led) };
        let owner = if machine.is_copy { "copy" } else { "original" };
        let disk_id = format!("{}-{owner}-{}", machine.name, machine.disk_number).parse().expect("a disk ID");
        let report = blank_report(machine.name, n, machine.run_id(n));
        Report { sequence: machine.sequence, state, data, view, disk: Some(disk_id), ..report }
    }

    /// What a member's own data would show.
    pub fn identity_of(&self, id: MemberId) -> Option<Identity> {
        self.cluster.cluster_id.map(|cluster| Identity { member: id, cluster })
    }

    /// Time passes. Clients write, and suspended clients with a clock that stops don't notice.
    pub fn pass(&mut self, seconds: u64, rules: &Rules) {
        let time = Duration::from_secs(seconds);
        self.now = self.now.after(time);
        self.work(seconds);
        if rules.client.counts_suspension {
            return;
        }
        for machine in self.machines.iter_mut().filter(|machine| !machine.is_up()) {
            if let Client::Instructed(order) = &mut machine.client {
                let given_at = order.given_at.after(time);
                Arc::make_mut(order).given_at = given_at;
            }
        }
    }
}

/// The report of a node that has nothing, and has not looked.
pub fn blank_report(node: usize, machine: usize, run: RunId) -> Report {
    Report {
        name: name(node),
        run,
        sequence: 1,
        peer_urls: vec![peer_url(machine)],
        client_urls: Vec::new(),
        state: NodeState::Empty,
        leftover: false,
        disk: None,
        data: DataEvidence::default(),
        etcd_version: None,
        refusal: None,
        view: None,
        status: None,
        accept_reset: None,
        leaving: false,
        once: false,
        strategy: None,
        size: None,
    }
}
