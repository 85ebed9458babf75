use std::sync::Arc;

use convene_lifecycle::{
    Cluster, ClusterId, DataEvidence, EtcdFlags, Instruction, Liveness, Member, MemberId, MemberKey, NodeState, Plan,
    Report, Task, Terms, UnixMillis,
};

use crate::{
    clock::NOW,
    state::{Broken, Change, CheckIn, ClientState, NodeTask, State, name, node_at, peer_url},
    steps::Rules,
    view::observe,
};

/// The real planner, or one that is broken on purpose.
pub type Planner = fn(&Cluster, &Liveness, &Report, UnixMillis) -> Plan;

impl State {
    /// Handles a check-in in the registry; returns the state of the client once it has the answer.
    pub fn handle(&mut self, rules: &Rules, check_in: &CheckIn) -> ClientState {
        let report = check_in.report();
        let plan = (rules.planner)(&self.cluster, &self.liveness, &report, NOW);
        if let Some(after) = plan.change.and_then(|change| change.after) {
            self.check_epoch(&after);
            self.cluster = Arc::new(after);
            let again = (rules.planner)(&self.cluster, &self.liveness, &report, NOW);
            if rules.settles && (again.change.is_some() || again.instruction != plan.instruction) {
                self.broken = self.broken.or(Some(Broken::NotSettled));
            }
        }
        self.liveness.record_check_in(&self.cluster, &report, NOW);
        self.client(check_in.node, &plan.instruction)
    }

    fn check_epoch(&mut self, after: &Cluster) {
        let abandoned = self.cluster.cluster_id.filter(|_| after.epoch != self.cluster.epoch);
        let has_data = |id: ClusterId| {
            let is_committed = self.etcd(id).is_some_and(|etcd| etcd.committed);
            is_committed && self.nodes.iter().any(|node| node.disk.is_some_and(|disk| disk.cluster == id))
        };
        if abandoned.is_some_and(has_data) {
            self.broken = Some(Broken::EpochOverData);
        }
    }

    fn client(&self, node: usize, instruction: &Instruction) -> ClientState {
        let task = match &instruction.task {
            Task::Wait | Task::StandBy | Task::Refuse { .. } => return ClientState::Idle,
            Task::Observe(_) => return ClientState::Observed(Arc::new(observe(self, node))),
            Task::Start(_) => NodeTask::Start,
            Task::ArchiveData => NodeTask::Archive,
            Task::Bootstrap(start) => bootstrap(start),
            Task::Join(start) => NodeTask::Join { roster: roster(start) },
            Task::AddMember { learner, terms, .. } => change(Change::Add { learner: *learner }, terms),
            Task::Promote { member, terms } => change(Change::Promote { id: id(member) }, terms),
            Task::RemoveMember { member, terms } | Task::Leave { member, terms } => {
                let removal = Change::Remove { id: id(member), requested: self.was_requested(node, member) };
                change(removal, terms)
            }
            Task::UpdateMember { .. } => unreachable!("no node of the model changes its address"),
        };
        ClientState::Instructed(task)
    }

    /// Whether the removal of this member was requested: by an administrator, who evicted it or reduced the size, or by its own
    /// node, which has lost its disk or leaves.
    fn was_requested(&self, requester: usize, member: &MemberKey) -> bool {
        let Some(member) = self.cluster.member(member) else { return false };
        let size = self.cluster.size.get() as usize;
        let is_older = |voter: &Member| self.cluster.size_lowered.is_some_and(|lowered| voter.created <= lowered);
        let is_surplus = match member.is_voter() {
            true => is_older(member) && self.cluster.voters().filter(|voter| is_older(voter)).count() > size,
            false => self.cluster.voters().count() >= size,
        };
        member.eviction.is_some() || is_surplus || *member.name() == name(requester)
    }
}

impl CheckIn {
    /// The check-in that a node sends now.
    pub fn from(state: &State, node: usize) -> Self {
        let sender = &state.nodes[node];
        let view = sender.client.view().cloned();
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
            disk: None,
            data: DataEvidence::default(),
            etcd_version: None,
            refusal: None,
            view: self.view.as_deref().cloned(),
            status: None,
            leaving: false,
            accept_reset: None,
            once: false,
            strategy: None,
            size: None,
        }
    }
}

fn bootstrap(start: &EtcdFlags) -> NodeTask {
    let token = start.initial_cluster_token.clone();
    let roster = roster(start).into_iter().map(|node| (node, MemberId::of_founder(&[peer_url(node)], &token)));
    let roster: Vec<_> = roster.collect();
    let cluster = ClusterId::of_founders(roster.iter().map(|(_, id)| *id));
    NodeTask::Bootstrap { token, cluster, roster }
}

fn roster(start: &EtcdFlags) -> Vec<usize> {
    let urls = start.initial_cluster.split(',').filter_map(|pair| pair.split_once('='));
    let mut nodes: Vec<usize> = urls.map(|(_, url)| node_at(url)).collect();
    nodes.sort_unstable();
    nodes
}

fn change(change: Change, terms: &Terms) -> NodeTask {
    NodeTask::Change { change, expect: terms.expect.iter().map(|expected| (expected.id, expected.learner)).collect() }
}

fn id(member: &MemberKey) -> MemberId {
    member.id().expect("every member of the model has an ID of etcd's")
}
