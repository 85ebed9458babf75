use std::time::Duration;

/// How a cluster is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Which changes of membership may be made.
    pub strategy: Strategy,
    /// For how long nobody may have heard of a member before it counts as dead.
    pub dead_after: Duration,
    /// Whether a node joins as learner and is promoted once it has caught up, or joins as voter.
    pub learner: bool,
    /// How often a running node checks in.
    pub check_in_every: Duration,
    /// Whether all changes of membership rest until an administrator resumes them.
    pub paused: bool,
}

/// Which changes of membership may be made without anybody asking for them: the strategies of elastic-etcd, the
/// strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Never change membership: an administrator adds and removes members, and nodes join as what was prepared.
    Prepared,
    /// Add members until the cluster has its size, never remove one.
    Add,
    /// Remove a dead member when a node is there to take its place.
    #[default]
    Replace,
    /// Remove every dead member, one at a time, also when no node is there to take its place.
    Prune,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Replace,
            dead_after: Duration::from_secs(60),
            learner: true,
            check_in_every: Duration::from_secs(10),
            paused: false,
        }
    }
}

impl Policy {
    /// The shortest and the longest [`Policy::dead_after`].
    pub const DEAD_AFTER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(7 * 24 * 3600));

    /// The shortest and the longest [`Policy::check_in_every`].
    pub const CHECK_IN_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

    /// The longest time between two failed probes that are still evidence of one and the same outage: a probe of
    /// yesterday and one of today say nothing about the time in between. A look at a cluster with a dead member may take
    /// a few time-outs.
    pub fn max_probe_gap(&self) -> Duration {
        self.dead_after + self.max_observation_time()
    }

    /// For how long nobody at all may check in before that means that nobody could.
    pub fn max_check_in_gap(&self) -> Duration {
        self.max_observation_time().max(self.dead_after / 2)
    }

    fn max_observation_time(&self) -> Duration {
        const LOOKS: Duration = Duration::from_secs(15);
        LOOKS.max(2 * self.check_in_every)
    }
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Prepared, Self::Add, Self::Replace, Self::Prune];

    /// The strategy's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Prune => "prune",
        }
    }

    /// Whether members may be removed because they are dead.
    pub fn removes_dead(self) -> bool {
        matches!(self, Self::Replace | Self::Prune)
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`Strategy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of prepared, add, replace and prune")]
pub struct StrategyError;

impl std::str::FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == text).ok_or(StrategyError)
    }
}

crate::text::as_text!(Strategy, "a strategy");
