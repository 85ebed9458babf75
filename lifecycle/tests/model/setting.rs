use std::sync::Arc;

use convene_lifecycle::{Action, Cluster, ClusterSize, Liveness, PolicyChange, Settings};

use crate::{
    clock::LONG_AGO,
    etcd::Guard,
    registry::Planner,
    state::{Budget, ClientState, Node, State},
    steps::{Rules, Step},
};

/// A configuration: the initial state, and the steps that are possible.
#[derive(Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub nodes: usize,
    pub size: u32,
    /// Whether the first nodes already run a cluster of that size. The others are spares.
    pub is_running: bool,
    /// Whether nodes join as learners.
    pub learner: bool,
    pub budget: Budget,
    pub rules: Rules,
}

impl Setting {
    /// A cluster that has not formed yet, and its nodes.
    pub const fn forming(name: &'static str, size: u32, nodes: usize) -> Self {
        let budget = Budget { crashes: 0, disks: 0, cuts: 0, delayed_check_ins: 0, evictions: 0, resizes: 0 };
        let rules = Rules {
            planner: convene_lifecycle::plan,
            guard: Guard::Newer,
            sizes: &[],
            settles: true,
            keeps_order: false,
            clients_end: false,
        };
        Self { name, nodes, size, is_running: false, learner: true, budget, rules }
    }

    /// A running cluster, and spares up to this number of nodes.
    pub const fn running(name: &'static str, size: u32, nodes: usize) -> Self {
        Self { is_running: true, ..Self::forming(name, size, nodes) }
    }

    pub const fn with(self, crashes: u8, disks: u8) -> Self {
        Self { budget: Budget { crashes, disks, ..self.budget }, ..self }
    }

    pub const fn cuts(self, cuts: u8) -> Self {
        Self { budget: Budget { cuts, ..self.budget }, ..self }
    }

    pub const fn delayed_check_ins(self, delayed_check_ins: u8) -> Self {
        Self { budget: Budget { delayed_check_ins, ..self.budget }, ..self }
    }

    pub const fn delayed_check_ins_in_order(self, delayed_check_ins: u8) -> Self {
        Self { rules: Rules { keeps_order: true, ..self.rules }, ..self.delayed_check_ins(delayed_check_ins) }
    }

    pub const fn evictions(self, evictions: u8) -> Self {
        Self { budget: Budget { evictions, ..self.budget }, ..self }
    }

    pub const fn sizes(self, sizes: &'static [u32]) -> Self {
        let budget = Budget { resizes: sizes.len() as u8, ..self.budget };
        Self { budget, rules: Rules { sizes, ..self.rules }, ..self }
    }

    pub const fn guard(self, guard: Guard) -> Self {
        Self { rules: Rules { guard, ..self.rules }, ..self }
    }

    pub const fn clients_end(self) -> Self {
        Self { rules: Rules { clients_end: true, ..self.rules }, ..self }
    }

    pub const fn as_voters(self) -> Self {
        Self { learner: false, ..self }
    }

    /// With a planner that is broken on purpose. A repeated check-in may get another answer from it.
    pub const fn planner(self, planner: Planner) -> Self {
        Self { rules: Rules { planner, settles: false, ..self.rules }, ..self }
    }

    /// The initial state. For a running cluster, the real planner has formed it.
    pub fn first_state(&self) -> State {
        // A member may start in vain as often as it likes, so that the states need not count it.
        let policy =
            PolicyChange { learner: Some(self.learner), max_failed_starts: Some(1_000), ..PolicyChange::default() };
        let settings = Settings { size: ClusterSize::new(self.size), policy, ..Settings::default() };
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().expect("a token");
        let cluster = Cluster::create_with(token, &settings, Action::Create, LONG_AGO).after.expect("a cluster");
        let mut state = State {
            cluster: Arc::new(cluster),
            liveness: Liveness::new(LONG_AGO),
            nodes: vec![Node::default(); self.nodes],
            etcds: Vec::new(),
            delayed_check_in: None,
            budget: self.budget,
            broken: None,
        };
        let rules = Rules { planner: convene_lifecycle::plan, ..self.rules };
        let founders = if self.is_running { 0..self.size as usize } else { 0..0 };
        // Each founder needs a round to register, one to bootstrap, and one to report that; the last one lets the rest settle.
        for n in (0..4).flat_map(|_| founders.clone()) {
            for step in [Step::CheckIn(n), Step::Act(n)] {
                state = state.after(step, &rules).unwrap_or(state);
            }
        }
        assert!(
            !self.is_running || (state.is_whole() && state.nodes.iter().all(|node| node.client == ClientState::Idle))
        );
        state.canonical()
    }
}
