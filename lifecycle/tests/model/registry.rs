use std::sync::Arc;

use convene_lifecycle::{
    Cluster, ClusterId, DataEvidence, EtcdFlags, Instruction, Liveness, MemberId, MemberKey, NodeState, Plan, Report,
    Task, Terms, UnixMillis,
};

use crate::{
    clock::NOW,
    steps::Rules,
    view::look,
    world::{Broken, Change, Desk, Letter, Order, World, name, node_at, peer_url},
};

/// What decides: the real planner, or one that is broken on purpose.
pub type Planner = fn(&Cluster, &Liveness, &Report, UnixMillis) -> Plan;

impl World {
    /// Lets the registry hear a check-in; returns what the node has on its desk if it gets the answer.
    pub fn hear(&mut self, rules: &Rules, letter: &Letter) -> Desk {
        let report = letter.report();
        let plan = (rules.planner)(&self.cluster, &self.liveness, &report, NOW);
        if let Some(after) = plan.change.and_then(|change| change.after) {
            self.judge_epoch(&after);
            self.cluster = Arc::new(after);
            let again = (rules.planner)(&self.cluster, &self.liveness, &report, NOW);
            if rules.settles && (again.change.is_some() || again.instruction != plan.instruction) {
                self.broken = self.broken.or(Some(Broken::NotSettled));
            }
        }
        self.liveness.record_check_in(&self.cluster, &report, NOW);
        self.desk(letter.node, &plan.instruction)
    }

    fn judge_epoch(&mut self, after: &Cluster) {
        let abandoned = self.cluster.cluster_id.filter(|_| after.epoch != self.cluster.epoch);
        let has_data = |id: ClusterId| {
            let is_committed = self.etcd(id).is_some_and(|etcd| etcd.committed);
            is_committed && self.nodes.iter().any(|node| node.disk.is_some_and(|disk| disk.cluster == id))
        };
        if abandoned.is_some_and(has_data) {
            self.broken = Some(Broken::EpochOverData);
        }
    }

    fn desk(&self, node: usize, instruction: &Instruction) -> Desk {
        let order = match &instruction.task {
            Task::Wait | Task::StandBy | Task::Refuse { .. } => return Desk::Idle,
            Task::Observe(_) => return Desk::Looked(Arc::new(look(self, node))),
            Task::Start(_) => Order::Start,
            Task::ArchiveData => Order::Archive,
            Task::Bootstrap(start) => bootstrap(start),
            Task::Join(start) => Order::Join { roster: roster(start) },
            Task::AddMember { learner, terms, .. } => change(Change::Add { learner: *learner }, terms),
            Task::Promote { member, terms } => change(Change::Promote { id: id(member) }, terms),
            Task::RemoveMember { member, terms } | Task::Leave { member, terms } => {
                let removal = Change::Remove { id: id(member), asked: self.was_asked_for(node, member) };
                change(removal, terms)
            }
            Task::UpdateMember { .. } => unreachable!("no node of the model changes its address"),
        };
        Desk::Told(order)
    }

    /// Whether somebody wants this member to go: an administrator, who evicted it or made the cluster smaller, or its
    /// own node, which has lost its disk or would leave.
    fn was_asked_for(&self, asker: usize, member: &MemberKey) -> bool {
        let Some(member) = self.cluster.member(member) else { return false };
        let (voters, size) = (self.cluster.voters().count(), self.cluster.size.get() as usize);
        let is_surplus = if member.is_voter() { voters > size } else { voters >= size };
        member.eviction.is_some() || is_surplus || *member.name() == name(asker)
    }
}

impl Letter {
    /// What a node writes now.
    pub fn from(world: &World, node: usize) -> Self {
        let sender = &world.nodes[node];
        let view = sender.desk.view().cloned();
        Self { node, run: sender.run, disk: sender.disk, running: sender.running, view }
    }

    fn report(&self) -> Report {
        let state = match self.disk {
            None => NodeState::Empty,
            Some(identity) if self.running => NodeState::Running(identity),
            Some(identity) => NodeState::Stopped(identity),
        };
        Report {
            name: name(self.node),
            run: format!("r{}", self.run).parse().expect("a run"),
            sequence: 0,
            peer_urls: vec![peer_url(self.node)],
            client_urls: Vec::new(),
            state,
            leftover: false,
            data: DataEvidence::default(),
            etcd_version: None,
            refusal: None,
            view: self.view.as_deref().cloned(),
            leaving: false,
            once: false,
            strategy: None,
            size: None,
        }
    }
}

fn bootstrap(start: &EtcdFlags) -> Order {
    let token = start.initial_cluster_token.clone();
    let roster = roster(start).into_iter().map(|node| (node, MemberId::of_founder(&[peer_url(node)], &token)));
    let roster: Vec<_> = roster.collect();
    let cluster = ClusterId::of_founders(roster.iter().map(|(_, id)| *id));
    Order::Bootstrap { token, cluster, roster }
}

fn roster(start: &EtcdFlags) -> Vec<usize> {
    let urls = start.initial_cluster.split(',').filter_map(|pair| pair.split_once('='));
    let mut nodes: Vec<usize> = urls.map(|(_, url)| node_at(url)).collect();
    nodes.sort_unstable();
    nodes
}

fn change(change: Change, terms: &Terms) -> Order {
    Order::Change { change, expect: terms.expect.iter().map(|expected| (expected.id, expected.learner)).collect() }
}

fn id(member: &MemberKey) -> MemberId {
    member.id().expect("every member of the model has an ID of etcd's")
}
