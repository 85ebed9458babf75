use std::sync::Arc;

use convene_lifecycle::{
    Action, Admission, Cluster, ClusterSize, JoinPolicy, Liveness, NodeCredential, PolicyChange, Revision, SecretHash,
    Settings, UnixMillis,
};

use super::{
    rules::Rules,
    steps::Step,
    world::{MOST_MACHINES, Machine, World, name},
};

/// When each history begins.
const BEGINNING: UnixMillis = UnixMillis(1_800_000_000_000);

/// How a history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub size: u32,
    pub machines: usize,
    /// Whether the first machines already run a cluster of that size. The others are spares.
    pub is_running: bool,
    /// Whether nodes join as learners.
    pub learner: bool,
    /// The machines, as bits, whose clients end once their etcds run.
    pub joins_only: u8,
    /// Whether whoever knows the discovery token may check in under a new name.
    pub is_open: bool,
}

impl Setting {
    pub const fn running(size: u32, machines: usize) -> Self {
        Self { size, machines, is_running: true, learner: true, joins_only: 0, is_open: false }
    }

    pub const fn forming(size: u32, machines: usize) -> Self {
        Self { is_running: false, ..Self::running(size, machines) }
    }

    /// The world at the beginning. For a running cluster, the real planner has formed it.
    pub fn first_world(&self, rules: &Rules) -> World {
        let join = if self.is_open { JoinPolicy::Open } else { JoinPolicy::Token };
        let policy = PolicyChange { learner: Some(self.learner), join: Some(join), ..PolicyChange::default() };
        let settings = Settings { size: ClusterSize::new(self.size), policy, ..Settings::default() };
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().expect("a token");
        let mut cluster = Cluster::create_with(token, &settings, Action::Create, BEGINNING).after.expect("a cluster");
        if rules.has_credentials {
            let credentials = (0..self.machines).map(|n| (name(n), credential())).collect();
            cluster.admission = Arc::new(Admission { credentials, ..Admission::default() });
        }
        let mut world = World {
            now: BEGINNING,
            cluster: Arc::new(cluster),
            liveness: Liveness::new(BEGINNING),
            backup: None,
            machines: (0..self.machines).map(Machine::new).collect(),
            etcds: Vec::new(),
            cuts: [[false; MOST_MACHINES]; MOST_MACHINES],
            has_forged_founders: false,
            broken: None,
            off: rules.off,
            over: false,
        };
        if self.is_running {
            for _ in 0..4 {
                (0..self.size as usize).for_each(|n| world.take(Step::Visit(n), &Rules::REAL));
                world.take(Step::Pass(5), &Rules::REAL);
            }
            // The failure detector has been there for long enough.
            (0..20).for_each(|_| world.take(Step::Round, &Rules::REAL));
            assert!(world.is_whole(), "{world}");
        }
        for n in 0..self.machines {
            world.machines[n].joins_only = self.joins_only & (1 << n) != 0;
        }
        world
    }
}

fn credential() -> NodeCredential {
    NodeCredential {
        id: "node-1".to_owned(),
        hash: SecretHash::new([1; 32]),
        next: None,
        created_at: BEGINNING,
        renewed_at: None,
        revoked_at: None,
        modified: Revision::FIRST,
    }
}
