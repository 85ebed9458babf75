use std::sync::Arc;

use convene_lifecycle::{Cluster, ClusterSize, Liveness, MemberRequest, Settings};

use super::{
    client::OFFLINE_GRACE,
    forgery::Forgery,
    raft::{Entry, Etcd},
    rules::{Broken, ClientRules, Rules},
    world::{Client, Flaw, Machine, Process, World},
};

/// One step of a world. Numbers are those of machines. A step that is not possible makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A node checks in and receives the answer. If that is `observe`, the node observes the cluster.
    CheckIn(usize),
    /// A client executes its order, or the next part of it.
    Act(usize),
    /// The answer to a check-in is lost.
    LoseAnswer(usize),
    /// An etcd has loaded its data, or ends.
    Settle(usize),
    /// A node does everything that it can do now.
    Visit(usize),
    /// Every node does everything that it can do, and some seconds pass.
    Round,
    /// So many seconds pass.
    Pass(u64),
    /// A node with data that can't reach the registry starts without it.
    StartAlone(usize),
    PowerOff(usize),
    PowerOn(usize),
    /// All machines lose power, and get it back.
    PowerCut,
    /// A machine that is off loses its disk.
    LoseDisk(usize),
    /// A mount of a machine that is off is missing at its next start, or there again.
    Remount(usize),
    /// etcd ends, and the client starts anew.
    StopEtcd(usize),
    Freeze(usize),
    FreezeClient(usize),
    Thaw(usize),
    /// The first machine can't open connections to the second one any more.
    Cut(usize, usize),
    /// Two machines can open connections to each other again.
    Heal(usize, usize),
    /// A client can't reach the registry.
    Offline(usize),
    Online(usize),
    Impair(usize, Flaw),
    Mend(usize),
    /// The second machine, which is empty, becomes a copy of the first one.
    Copy(usize, usize),
    /// A copy becomes a restore drill: a cluster of its own with the same IDs (`--force-new-cluster`).
    Drill(usize),
    /// Two machines that are off swap their addresses.
    Swap(usize, usize),
    Forge(Forgery),
    /// The registry's database is copied.
    BackUp,
    /// The registry's database goes back to the copy.
    GoBack,
    Resize(u32),
    Evict(usize),
}

impl Step {
    /// Whether a machine, an etcd or the network fails, which may cost a quorum that nobody can save.
    fn is_failure(self) -> bool {
        matches!(
            self,
            Self::PowerOff(_)
                | Self::PowerCut
                | Self::StopEtcd(_)
                | Self::Freeze(_)
                | Self::Cut(..)
                | Self::Round
                | Self::Settle(_)
        )
    }
}

/// How many seconds pass in a round.
pub const ROUND: u64 = 5;

impl World {
    /// Takes a step, and checks the quorums.
    pub fn take(&mut self, step: Step, rules: &Rules) {
        if self.broken.is_some() || self.over {
            return;
        }
        let had_leader: Vec<bool> = self.etcds.iter().map(|etcd| etcd.leader.is_some()).collect();
        self.apply(step, rules);
        self.elect_and_replicate();
        let is_lost = |(at, had): (usize, &bool)| *had && self.etcds[at].leader.is_none();
        if !step.is_failure() && had_leader.iter().enumerate().any(is_lost) {
            self.breaks(Broken::QuorumLost);
        }
    }

    fn apply(&mut self, step: Step, rules: &Rules) {
        match step {
            Step::CheckIn(n) => self.check_in(n, rules),
            Step::Act(n) => self.act(n, rules),
            Step::LoseAnswer(n) => {
                if matches!(self.machines[n].client, Client::Instructed(_)) {
                    self.machines[n].client = Client::Idle;
                }
            }
            Step::Settle(n) => self.settle(n),
            Step::Visit(n) => self.visit(n, rules),
            Step::Round => {
                for n in 0..self.machines.len() {
                    self.take(Step::Visit(n), rules);
                }
                self.pass(ROUND, rules);
            }
            Step::Pass(seconds) => self.pass(seconds, rules),
            Step::StartAlone(n) => self.start_alone(n, &rules.client),
            Step::PowerOff(n) => {
                self.machines[n].stop();
                self.machines[n].on = false;
            }
            Step::PowerOn(n) if !self.machines[n].on => {
                self.machines[n].on = true;
                self.machines[n].start_client();
            }
            Step::PowerCut => {
                for machine in self.machines.iter_mut().filter(|machine| machine.on) {
                    machine.stop();
                    machine.start_client();
                }
            }
            Step::LoseDisk(n) if !self.machines[n].on => {
                self.machines[n].disk = None;
                self.machines[n].archived.clear();
                self.machines[n].disk_number += 2;
            }
            // A copy at another address has no mounts of its own.
            Step::Remount(n) if !self.machines[n].on && !self.machines[n].is_copy => self.machines[n].remount(),
            Step::StopEtcd(n) if self.machines[n].on => {
                self.machines[n].stop();
                self.machines[n].start_client();
            }
            Step::Freeze(n) if self.machines[n].on => {
                self.machines[n].frozen = self.machines[n].frozen.or(Some(self.now))
            }
            Step::FreezeClient(n) if self.machines[n].on => {
                self.machines[n].client_frozen = self.machines[n].client_frozen.or(Some(self.now));
            }
            Step::Thaw(n) => (self.machines[n].frozen, self.machines[n].client_frozen) = (None, None),
            Step::Cut(from, to) => self.cuts[from][to] = from != to,
            Step::Heal(one, other) => (self.cuts[one][other], self.cuts[other][one]) = (false, false),
            Step::Offline(n) => self.machines[n].offline = true,
            Step::Online(n) => self.machines[n].offline = false,
            Step::Impair(n, flaw) => self.machines[n].flaw = Some(flaw),
            Step::Mend(n) => self.machines[n].flaw = None,
            Step::Copy(from, to) => self.copy(from, to),
            Step::Drill(n) => self.drill(n),
            Step::Swap(one, other) => self.swap(one, other),
            Step::Forge(forgery) => self.forge(forgery, rules),
            Step::BackUp => self.backup = Some(self.cluster.clone()),
            Step::GoBack => self.go_back(),
            Step::Resize(size) => self.resize(size),
            Step::Evict(node) => self.evict(node),
            Step::PowerOn(_)
            | Step::LoseDisk(_)
            | Step::Remount(_)
            | Step::StopEtcd(_)
            | Step::Freeze(_)
            | Step::FreezeClient(_) => {}
        }
    }

    /// A node does everything that it can do now: until it waits, or its etcd loads.
    fn visit(&mut self, n: usize, rules: &Rules) {
        const MOST: usize = 16;
        self.take(Step::Settle(n), rules);
        if self.machines[n].offline {
            return self.take(Step::StartAlone(n), rules);
        }
        for _ in 0..MOST {
            self.take(Step::CheckIn(n), rules);
            if self.machines[n].client == Client::Idle {
                return;
            }
            self.take(Step::Act(n), rules);
            self.take(Step::Act(n), rules);
        }
    }

    fn start_alone(&mut self, n: usize, rules: &ClientRules) {
        let machine = &self.machines[n];
        if self.has_client(n) && machine.offline && machine.process == Process::Off {
            self.machines[n].client = Client::Idle;
            self.pass_grace(n, rules);
        }
    }

    fn pass_grace(&mut self, n: usize, rules: &ClientRules) {
        self.now = self.now.after(OFFLINE_GRACE);
        self.work(OFFLINE_GRACE.as_secs());
        self.start(n, false, rules);
    }

    fn copy(&mut self, from: usize, to: usize) {
        // A copy at a member's listed address is a member with an older disk.
        let is_listed = self.etcds.iter().flat_map(|etcd| &etcd.members).any(|entry| entry.at == to);
        let is_empty = self.machines[to].on && self.machines[to].disk.is_none() && !is_listed;
        let disk = self.machines[from].disk.clone().filter(|disk| is_empty && disk.led && from != to);
        let Some(disk) = disk else { return };
        let run = self.machines[to].run + 1;
        let name = self.machines[from].name;
        self.machines[to] = Machine { disk: Some(disk), is_copy: true, run, ..Machine::new(name) };
    }

    fn drill(&mut self, n: usize) {
        let machine = &self.machines[n];
        let is_copy = machine.is_copy && machine.on && machine.process == Process::Off;
        let Some(disk) = machine.disk.clone().filter(|_| is_copy) else { return };
        // A copy that etcd's list names has taken over the place: to force a new cluster there is a disaster recovery.
        let is_listed = self.etcds[disk.etcd].members.iter().any(|entry| entry.at == n);
        if !disk.led || !self.etcds[disk.etcd].is_real || is_listed {
            return;
        }
        let members = vec![Entry::new(disk.identity.member, n, Some(machine.name), false)];
        let founded = Etcd::founded(disk.identity.cluster, String::new(), members);
        self.etcds.push(Etcd { index: disk.index, led: true, is_real: false, ..founded });
        let etcd = self.etcds.len() - 1;
        if let Some(disk) = &mut self.machines[n].disk {
            disk.etcd = etcd;
            disk.known = vec![(disk.identity.member, n)];
        }
        (self.machines[n].process, self.machines[n].client) = (Process::Running, Client::Idle);
    }

    fn swap(&mut self, one: usize, other: usize) {
        // A copy at the address of its original is the original with an older disk.
        let is_fixed = |n: usize| self.machines[n].on || self.machines[n].is_copy;
        if one == other || is_fixed(one) || is_fixed(other) {
            return;
        }
        self.machines.swap(one, other);
    }

    fn go_back(&mut self) {
        let Some(backup) = self.backup.clone().filter(|backup| !misses_starts(backup)) else { return };
        // The server notices that its store went back in time.
        let held = backup.hold_after_going_back(self.now).and_then(|change| change.after);
        self.cluster = held.map_or(backup, Arc::new);
        // It does not know any more who has checked in.
        self.liveness = Liveness::new(self.now);
        self.machines.iter_mut().for_each(|machine| machine.reported_etcd = None);
    }

    /// If v2 discovery has deleted a member's key, no running node looks before something else makes it look. So nobody would
    /// notice that there is a member too many.
    fn resize(&mut self, size: u32) {
        let is_deleted =
            self.cluster.record.iter().any(|member| member.removed.is_some_and(|removal| !removal.confirmed));
        if is_deleted {
            return;
        }
        let settings = Settings { size: ClusterSize::new(size), ..Settings::default() };
        if let Ok(Some(change)) = self.cluster.set(&settings, self.now)
            && let Some(after) = change.after
        {
            self.cluster = Arc::new(after);
        }
    }

    fn evict(&mut self, node: usize) {
        let Some(id) = self.member_of(node) else { return };
        if let Ok(Some(change)) = self.cluster.apply_request(&id.into(), MemberRequest::Evict, self.now)
            && let Some(after) = change.after
        {
            self.cluster = Arc::new(after);
        }
    }
}

/// Whether a copy of the registry knows that the cluster exists, but not yet that all its founders have started. Such a
/// founder may lose its data in the time that the registry forgets, and would be instructed to bootstrap again. etcd's own
/// check for a member that has bootstrapped before is all that stops it.
fn misses_starts(backup: &Cluster) -> bool {
    backup.bootstrapped.is_some() && backup.members().any(|member| !member.started && member.founder.is_some())
}
