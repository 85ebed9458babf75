use std::sync::Arc;

use convene_lifecycle::{ClusterId, ClusterSize, Identity, MemberId, MemberKey, MemberRequest, Settings};

use crate::{
    clock::NOW,
    etcd::{Entry, Etcd, Guard},
    registry::Planner,
    state::{Broken, Change, CheckIn, ClientState, Node, NodeTask, State, name},
};

/// One step of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A node checks in and receives the answer. If that is `observe`, the node observes the cluster.
    CheckIn(usize),
    /// A node executes its task.
    Act(usize),
    /// The answer to a check-in is lost.
    LoseAnswer(usize),
    /// The network delays a check-in, and the node does not wait for the answer.
    DelayCheckIn(usize),
    /// The delayed check-in arrives.
    DeliverCheckIn,
    Crash(usize),
    LoseDisk(usize),
    Restart(usize),
    /// A node is cut off from the others, but not from the registry.
    Cut(usize),
    Heal(usize),
    /// More than `dead_after` passes.
    Pass,
    /// An administrator sets the next size.
    Resize,
    /// An administrator evicts a node's member.
    Evict(usize),
}

impl Step {
    /// Whether this step happens eventually if nothing fails and no administrator changes anything.
    pub fn is_fair(self) -> bool {
        matches!(self, Self::CheckIn(_) | Self::Act(_) | Self::DeliverCheckIn | Self::Heal(_) | Self::Pass)
    }

    /// Whether a machine or the network fails, which may cost a quorum that nobody can save.
    fn is_failure(self) -> bool {
        matches!(self, Self::Crash(_) | Self::Cut(_))
    }
}

/// What the steps depend on besides the state.
#[derive(Clone, Copy)]
pub struct Rules {
    pub planner: Planner,
    pub guard: Guard,
    /// The sizes that an administrator sets, in order.
    pub sizes: &'static [u32],
    /// Whether a repeated check-in must change nothing.
    pub settles: bool,
    /// Whether a delayed check-in is dropped when its node checks in again.
    pub keeps_order: bool,
    /// Whether a client ends once it has started etcd, and starts again only after etcd has ended.
    pub clients_end: bool,
}

impl State {
    /// The steps that may be possible.
    pub fn steps(&self, steps: &mut Vec<Step>, rules: &Rules) {
        if self.broken.is_some() {
            return;
        }
        for n in 0..self.nodes.len() {
            self.steps_of(n, steps, rules);
        }
        if self.delayed_check_in.is_some() {
            steps.push(Step::DeliverCheckIn);
        }
        // A node that is cut off and does not check in is the same as a dead one.
        if (0..self.nodes.len()).all(|n| !self.nodes[n].cut || self.checked_in_recently(n)) {
            steps.push(Step::Pass);
        }
        if self.budget.resizes > 0 {
            steps.push(Step::Resize);
        }
    }

    fn steps_of(&self, n: usize, steps: &mut Vec<Step>, rules: &Rules) {
        let (node, budget) = (&self.nodes[n], &self.budget);
        let mut push = |condition: bool, step: Step| {
            if condition {
                steps.push(step);
            }
        };
        let has_task = node.client.task().is_some();
        push(node.has_client(rules) && !has_task, Step::CheckIn(n));
        push(has_task, Step::Act(n));
        push(matches!(node.client, ClientState::Instructed(_)), Step::LoseAnswer(n));
        push(
            node.has_client(rules) && !has_task && self.delayed_check_in.is_none() && budget.delayed_check_ins > 0,
            Step::DelayCheckIn(n),
        );
        push(!node.down && budget.crashes > 0, Step::Crash(n));
        push(node.down && node.disk.is_some() && budget.disks > 0, Step::LoseDisk(n));
        push(node.down, Step::Restart(n));
        push(self.checked_in_recently(n) && node.running && !node.cut && budget.cuts > 0, Step::Cut(n));
        push(node.cut, Step::Heal(n));
        push(budget.evictions > 0, Step::Evict(n));
    }

    /// Whether a node has checked in recently, as the member that it runs, if any.
    fn checked_in_recently(&self, n: usize) -> bool {
        let member = self.nodes[n].disk.and_then(|disk| self.cluster.member(&disk.member.into()));
        let contact =
            |key: &MemberKey| self.liveness.members.get(key).is_some_and(|contact| contact.checked_in.is_some());
        self.liveness.nodes.contains_key(&name(n)) && member.is_none_or(|member| contact(&member.key))
    }

    /// The state after a step; `None` if it makes no difference.
    pub fn after(&self, step: Step, rules: &Rules) -> Option<Self> {
        let mut after = self.clone();
        after.take(step, rules);
        for at in 0..after.etcds.len() {
            after.etcds[at].committed |= after.has_quorum(&after.etcds[at]);
        }
        let lost =
            |etcd: &Etcd| self.has_quorum(etcd) && after.etcd(etcd.id).is_none_or(|etcd| !after.has_quorum(etcd));
        if !step.is_failure() && self.etcds.iter().any(lost) {
            after.broken = after.broken.or(Some(Broken::QuorumLost));
        }
        let leader = |state: &Self| state.current().map(|etcd| state.leader(etcd));
        if leader(self) != leader(&after) {
            after.forget_counters();
        }
        let after = after.canonical();
        (after != *self).then_some(after)
    }

    fn take(&mut self, step: Step, rules: &Rules) {
        if step.is_failure() && rules.guard == Guard::Off {
            self.drop_views();
        }
        match step {
            Step::CheckIn(n) => {
                let check_in = CheckIn::from(self, n);
                self.delayed_check_in.take_if(|delayed| rules.keeps_order && delayed.node == n);
                self.nodes[n].client = ClientState::Idle;
                self.nodes[n].client = self.handle(rules, &check_in);
            }
            Step::Act(n) => self.act(n, rules),
            Step::LoseAnswer(n) => self.nodes[n].client = ClientState::Idle,
            Step::DelayCheckIn(n) => {
                self.budget.delayed_check_ins -= 1;
                self.delayed_check_in = Some(CheckIn::from(self, n));
                self.nodes[n].client = ClientState::Idle;
            }
            Step::DeliverCheckIn => {
                if let Some(check_in) = self.delayed_check_in.take() {
                    self.handle(rules, &check_in);
                }
            }
            Step::Crash(n) => {
                self.budget.crashes -= 1;
                let node = &mut self.nodes[n];
                (node.down, node.running, node.cut, node.client) = (true, false, false, ClientState::Idle);
            }
            Step::LoseDisk(n) => {
                self.budget.disks -= 1;
                self.nodes[n].disk = None;
            }
            Step::Restart(n) => {
                let node = &mut self.nodes[n];
                (node.down, node.run) = (false, node.run + 1);
            }
            Step::Cut(n) => {
                self.budget.cuts -= 1;
                self.nodes[n].cut = true;
            }
            Step::Heal(n) => self.nodes[n].cut = false,
            Step::Pass => self.pass(rules),
            Step::Resize => self.resize(rules),
            Step::Evict(n) => self.evict(n),
        }
    }

    /// Drops all views, so that clients observe again. Only etcd's own check can detect a failure between a view and the
    /// membership change, so without that check no machine may fail in between.
    fn drop_views(&mut self) {
        self.delayed_check_in = None;
        let rests_on_view = |node: &&mut Node| {
            matches!(
                node.client,
                ClientState::Observed(_) | ClientState::Instructed(NodeTask::Change { .. }) | ClientState::Verified(_)
            )
        };
        self.nodes.iter_mut().filter(rests_on_view).for_each(|node| node.client = ClientState::Idle);
    }

    fn resize(&mut self, rules: &Rules) {
        let next = rules.sizes.len() - self.budget.resizes as usize;
        self.budget.resizes -= 1;
        let settings = Settings { size: ClusterSize::new(rules.sizes[next]), ..Settings::default() };
        let change = self.cluster.set(&settings, NOW).expect("no stock etcds");
        if let Some(after) = change.and_then(|change| change.after) {
            self.cluster = Arc::new(after);
        }
    }

    fn evict(&mut self, n: usize) {
        let key = self.cluster.members().find(|member| *member.name() == name(n)).map(|member| member.key.clone());
        let Some(key) = key.filter(|_| self.cluster.formed.is_some()) else { return };
        self.budget.evictions -= 1;
        let change = self.cluster.apply_request(&key, MemberRequest::Evict, NOW).expect("a member");
        if let Some(after) = change.and_then(|change| change.after) {
            self.cluster = Arc::new(after);
        }
    }

    fn act(&mut self, n: usize, rules: &Rules) {
        let client = std::mem::take(&mut self.nodes[n].client);
        match client {
            ClientState::Idle | ClientState::Observed(_) => {}
            ClientState::Instructed(NodeTask::Start) => self.start(n),
            ClientState::Instructed(NodeTask::Archive) => self.archive(n),
            ClientState::Instructed(NodeTask::Bootstrap { token, cluster, roster }) => {
                self.bootstrap(n, token, cluster, roster)
            }
            ClientState::Instructed(NodeTask::Join { roster }) => self.join(n, &roster),
            ClientState::Instructed(NodeTask::Change { change, expect }) => {
                if self.is_as_expected(n, &expect) {
                    self.nodes[n].client = ClientState::Verified(NodeTask::Change { change, expect });
                }
            }
            ClientState::Verified(NodeTask::Change { change, .. }) => self.change(n, &change, rules.guard),
            ClientState::Verified(_) => unreachable!("only changes of membership are verified"),
        }
    }

    fn is_as_expected(&self, n: usize, expect: &[(MemberId, bool)]) -> bool {
        let Some(etcd) = self.current().filter(|etcd| self.has_quorum(etcd) && !self.nodes[n].cut) else {
            return false;
        };
        let mut found: Vec<(MemberId, bool)> = etcd.members.iter().map(|entry| (entry.id, entry.learner)).collect();
        found.sort_unstable();
        found == expect
    }

    /// etcd starts on existing data. A member that was removed detects it at once, and exits.
    fn start(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(disk) = node.disk.filter(|_| !node.running) else { return };
        let is_member = self.etcd(disk.cluster).is_some_and(|etcd| etcd.member(disk.member).is_some());
        self.nodes[n].running = is_member;
    }

    fn archive(&mut self, n: usize) {
        let Some(disk) = self.nodes[n].disk else { return };
        let etcd = self.etcd(disk.cluster).filter(|etcd| etcd.committed);
        if etcd.is_some_and(|etcd| etcd.member(disk.member).is_some()) {
            self.broken = Some(Broken::DataSetAside);
        }
        (self.nodes[n].disk, self.nodes[n].running) = (None, false);
    }

    /// etcd starts without data, as a founder of a new cluster.
    fn bootstrap(&mut self, n: usize, token: String, id: ClusterId, roster: Vec<(usize, MemberId)>) {
        let own = roster.iter().find(|(node, _)| *node == n).map(|(_, id)| *id);
        let Some(own) = own.filter(|_| self.nodes[n].disk.is_none()) else { return };
        if self.etcds.iter().any(|etcd| etcd.token == token && etcd.id != id) {
            self.broken = Some(Broken::TwoClusters);
        }
        if self.etcd(id).is_none() {
            let members = roster.iter().map(|(node, id)| Entry {
                id: *id,
                node: *node,
                learner: false,
                named: true,
                grown: false,
            });
            self.etcds.push(Etcd { id, token, members: members.collect(), booted: Vec::new(), committed: false });
        }
        let Some(etcd) = self.etcds.iter_mut().find(|etcd| etcd.id == id) else { return };
        if !etcd.booted.contains(&own) {
            etcd.booted.push(own);
            etcd.booted.sort_unstable();
        } else if etcd.committed {
            self.broken = Some(Broken::TwoClusters);
        }
        let is_member = etcd.member(own).is_some();
        (self.nodes[n].disk, self.nodes[n].running) = (Some(Identity { member: own, cluster: id }), is_member);
    }

    /// etcd starts without data, as the member with its peer URL. It fails unless a member answers and the flags name all
    /// members.
    fn join(&mut self, n: usize, roster: &[usize]) {
        let Some(etcd) = self.current().filter(|_| self.nodes[n].disk.is_none() && !self.nodes[n].cut) else { return };
        let mut listed: Vec<usize> = etcd.members.iter().map(|entry| entry.node).collect();
        listed.sort_unstable();
        let answers = etcd.members.iter().any(|entry| self.is_up(etcd, entry));
        let Some(own) = etcd.members.iter().find(|entry| entry.node == n && answers && listed == roster) else {
            return;
        };
        let (member, cluster) = (own.id, etcd.id);
        if own.named && !own.learner {
            self.broken = Some(Broken::TwoClusters);
        }
        for entry in self.etcds.iter_mut().filter(|etcd| etcd.id == cluster).flat_map(|etcd| &mut etcd.members) {
            entry.named |= entry.id == member;
        }
        (self.nodes[n].disk, self.nodes[n].running) = (Some(Identity { member, cluster }), true);
    }

    /// Requests a membership change of etcd, which needs a quorum.
    fn change(&mut self, n: usize, change: &Change, guard: Guard) {
        let Some(etcd) = self.current().filter(|etcd| self.has_quorum(etcd) && !self.nodes[n].cut) else { return };
        let (id, up) = (etcd.id, self.voters_up(etcd));
        match *change {
            Change::Add { learner } => {
                let is_listed = etcd.members.iter().any(|entry| entry.node == n);
                let has_learner = learner && etcd.members.iter().any(|entry| entry.learner);
                if is_listed || has_learner || !guard.may_add(etcd, learner, up) {
                    return;
                }
                let entry = Entry { id: self.fresh_id(n), node: n, learner, named: false, grown: false };
                self.edit(id, |members| members.push(entry));
            }
            Change::Remove { id: leaver, requested } => {
                let Some(leaver) = etcd.member(leaver).cloned() else { return };
                let is_up = self.is_up(etcd, &leaver);
                if !guard.may_remove(etcd, &leaver, is_up, up) || (etcd.voters().count() == 1 && !leaver.learner) {
                    return;
                }
                let identity = Identity { member: leaver.id, cluster: id };
                let host = &mut self.nodes[leaver.node];
                if host.running && host.disk == Some(identity) {
                    // A member that is cut off does not receive its removal.
                    host.running = host.cut;
                    if !requested {
                        self.broken = Some(Broken::AliveRemoved);
                    }
                }
                self.edit(id, |members| members.retain(|entry| entry.id != leaver.id));
            }
            Change::Promote { id: learner } => {
                let is_ready = etcd.member(learner).is_some_and(|entry| self.is_up(etcd, entry));
                if is_ready || guard == Guard::Off {
                    self.edit(id, |members| {
                        members.iter_mut().filter(|entry| entry.id == learner).for_each(|entry| entry.learner = false);
                    });
                }
            }
        }
    }

    fn edit(&mut self, id: ClusterId, edit: impl FnOnce(&mut Vec<Entry>)) {
        if let Some(etcd) = self.etcds.iter_mut().find(|etcd| etcd.id == id) {
            edit(&mut etcd.members);
            etcd.members.sort_by_key(|entry| entry.id);
        }
    }
}
