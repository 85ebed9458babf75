use std::sync::Arc;

use convene_lifecycle::{Cluster, ClusterSize, Liveness, PolicyChange, Settings};

use crate::{
    clock::LONG_AGO,
    etcd::Guard,
    registry::Planner,
    steps::{Rules, Step},
    world::{Budget, Desk, Node, World},
};

/// A configuration: how the world is at first, and what may happen in it.
#[derive(Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub nodes: usize,
    pub size: u32,
    /// Whether the first nodes run a cluster of that size already, and the others have yet to come.
    pub is_running: bool,
    /// Whether nodes join as learners.
    pub learner: bool,
    pub budget: Budget,
    pub rules: Rules,
}

impl Setting {
    /// A cluster that has yet to form, of so many nodes.
    pub const fn forming(name: &'static str, size: u32, nodes: usize) -> Self {
        let budget = Budget { crashes: 0, disks: 0, cuts: 0, letters: 0, evictions: 0, resizes: 0 };
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

    /// A cluster that runs, and spare nodes up to so many in all.
    pub const fn running(name: &'static str, size: u32, nodes: usize) -> Self {
        Self { is_running: true, ..Self::forming(name, size, nodes) }
    }

    pub const fn with(self, crashes: u8, disks: u8) -> Self {
        Self { budget: Budget { crashes, disks, ..self.budget }, ..self }
    }

    pub const fn cuts(self, cuts: u8) -> Self {
        Self { budget: Budget { cuts, ..self.budget }, ..self }
    }

    pub const fn letters(self, letters: u8) -> Self {
        Self { budget: Budget { letters, ..self.budget }, ..self }
    }

    pub const fn letters_in_order(self, letters: u8) -> Self {
        Self { rules: Rules { keeps_order: true, ..self.rules }, ..self.letters(letters) }
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

    /// With a planner that is broken on purpose, of which it does not matter whether it says so twice.
    pub const fn planner(self, planner: Planner) -> Self {
        Self { rules: Rules { planner, settles: false, ..self.rules }, ..self }
    }

    /// The world at first. That of a running cluster is what the real planner makes of its founders.
    pub fn first_world(&self) -> World {
        let policy = PolicyChange { learner: Some(self.learner), ..PolicyChange::default() };
        let settings = Settings { size: ClusterSize::new(self.size), policy, ..Settings::default() };
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().expect("a token");
        let cluster = Cluster::create_with(token, &settings, LONG_AGO).after.expect("a cluster");
        let mut world = World {
            cluster: Arc::new(cluster),
            liveness: Liveness::new(LONG_AGO),
            nodes: vec![Node::default(); self.nodes],
            etcds: Vec::new(),
            letter: None,
            budget: self.budget,
            broken: None,
        };
        let rules = Rules { planner: convene_lifecycle::plan, ..self.rules };
        let founders = if self.is_running { 0..self.size as usize } else { 0..0 };
        // Each needs a round to register, one to bootstrap, one to say so; the last is for what settles then.
        for n in (0..4).flat_map(|_| founders.clone()) {
            for step in [Step::CheckIn(n), Step::Act(n)] {
                world = world.after(step, &rules).unwrap_or(world);
            }
        }
        assert!(!self.is_running || (world.is_whole() && world.nodes.iter().all(|node| node.desk == Desk::Idle)));
        world.canonical()
    }
}
