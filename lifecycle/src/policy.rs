use std::{fmt, time::Duration};

use thiserror::Error;

use crate::StockWrites;

/// Declares the fields of a policy, once for all: name, type, default and allowed values.
///
/// The documentation of a field is also its description in the API.
macro_rules! policy_fields {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $kind:expr;)+) => {
        /// How Convene maintains a cluster. An administrator sets it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Policy {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// A change of a [`Policy`]. A field that is `None` keeps its value.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct PolicyChange {
            $($(#[doc = $doc])+ pub $name: Option<$type>,)+
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Policy {
            /// Every field. Whatever stores, shows or reads a policy does so by this table.
            pub const FIELDS: &[PolicyField] = &[$(PolicyField {
                name: stringify!($name),
                description: concat!($($doc),+),
                kind: $kind,
                get: |policy| policy.$name.into(),
                set: |change, value| {
                    change.$name = Some(value.try_into()?);
                    Ok(())
                },
            },)+];
        }

        impl PolicyChange {
            /// The policy after this change.
            pub fn apply_to(&self, policy: Policy) -> Policy {
                Policy { $($name: self.$name.unwrap_or(policy.$name),)+ }
            }
        }
    };
}

policy_fields! {
    /// Which membership changes Convene makes without a request.
    strategy: Strategy = Strategy::Replace, PolicyKind::Strategy;
    /// How long a member must be silent, and probes of it must fail, before it counts as dead.
    dead_after: Duration = Duration::from_secs(60), PolicyKind::Duration {
        min: Policy::DEAD_AFTER.0,
        max: Policy::DEAD_AFTER.1,
    };
    /// Whether a node joins as a learner and is promoted once it has caught up. If not, it joins as a voter.
    learner: bool = true, PolicyKind::Bool;
    /// How often a running node checks in.
    check_in_every: Duration = Duration::from_secs(10), PolicyKind::Duration {
        min: Policy::CHECK_IN_EVERY.0,
        max: Policy::CHECK_IN_EVERY.1,
    };
    /// Whether all membership changes are paused until an administrator resumes them.
    paused: bool = false, PolicyKind::Bool;
    /// After how many failed starts a member counts as failing. A start has failed if etcd did not answer, or ended within
    /// 10 s. The check-ins of a failing member are no sign of life.
    max_failed_starts: u32 = 5, PolicyKind::Number { min: 1, max: 1_000 };
    /// How many witnesses must confirm that a voter is dead: 1 for failed probes alone, 2 for failed probes and the
    /// voters' side.
    witnesses: u32 = 2, PolicyKind::Number { min: 1, max: 2 };
    /// Whether v2 and v3 clients may change the cluster after it has formed, and whether a larger size in a check-in
    /// (`--cluster-size`) raises the size of the cluster. Reads are always allowed.
    stock_writes: StockWrites = StockWrites::Refuse, PolicyKind::StockWrites;
    /// What a node must show when it checks in. Only a server with `--auth on` demands it.
    join: JoinPolicy = JoinPolicy::Token, PolicyKind::Join;
}

impl Policy {
    /// The shortest and the longest [`Policy::dead_after`].
    pub const DEAD_AFTER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(7 * 24 * 3600));

    /// The shortest and the longest [`Policy::check_in_every`].
    pub const CHECK_IN_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

    /// The longest time between two failed probes that still count as one outage. Failures further apart prove nothing
    /// about the time between them.
    pub fn max_probe_gap(&self) -> Duration {
        self.dead_after + self.max_observation_time()
    }

    /// How long a cluster may be without any check-in. After a longer time the registry itself was unreachable, so
    /// silence counts from zero.
    pub fn max_check_in_gap(&self) -> Duration {
        self.max_observation_time().max(self.dead_after / 2)
    }

    /// Observing a cluster with a dead member takes as long as a few time-outs.
    pub(crate) fn max_observation_time(&self) -> Duration {
        const TIMEOUTS: Duration = Duration::from_secs(15);
        TIMEOUTS.max(2 * self.check_in_every)
    }
}

/// One field of a [`Policy`].
#[derive(Clone, Copy, Debug)]
pub struct PolicyField {
    /// Its name, as in [`Policy`].
    pub name: &'static str,
    description: &'static str,
    /// The values that it takes.
    pub kind: PolicyKind,
    get: fn(&Policy) -> PolicyValue,
    set: fn(&mut PolicyChange, PolicyValue) -> Result<(), PolicyValueError>,
}

/// The values that a [`PolicyField`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// A [`Strategy`].
    Strategy,
    /// A time within bounds, both included.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A whole number within bounds, both included.
    Number {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// Yes or no.
    Bool,
    /// A [`StockWrites`].
    StockWrites,
    /// A [`JoinPolicy`].
    Join,
}

/// The value of a [`PolicyField`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyValue {
    /// A [`Strategy`].
    Strategy(Strategy),
    /// A time.
    Duration(Duration),
    /// A whole number.
    Number(u32),
    /// Yes or no.
    Bool(bool),
    /// A [`StockWrites`].
    StockWrites(StockWrites),
    /// A [`JoinPolicy`].
    Join(JoinPolicy),
}

/// Why a value is not one of a [`PolicyField`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PolicyValueError {
    /// The value is of another kind.
    #[error("is a value of another kind")]
    Kind,
    /// The time is out of bounds.
    #[error("must be from {} to {}", humantime::format_duration(*min), humantime::format_duration(*max))]
    OutOfRange {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The number is out of bounds.
    #[error("must be from {min} to {max}")]
    NumberOutOfRange {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
}

impl PolicyField {
    /// What it means: one or two sentences.
    pub fn description(&self) -> &'static str {
        self.description.trim_ascii()
    }

    /// Its value in a policy.
    pub fn get(&self, policy: &Policy) -> PolicyValue {
        (self.get)(policy)
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// If the value is of another kind, or out of bounds.
    pub fn set(&self, change: &mut PolicyChange, value: PolicyValue) -> Result<(), PolicyValueError> {
        match (self.kind, value) {
            (PolicyKind::Duration { min, max }, PolicyValue::Duration(given)) if !(min..=max).contains(&given) => {
                Err(PolicyValueError::OutOfRange { min, max })
            }
            (PolicyKind::Number { min, max }, PolicyValue::Number(given)) if !(min..=max).contains(&given) => {
                Err(PolicyValueError::NumberOutOfRange { min, max })
            }
            _ => (self.set)(change, value),
        }
    }
}

/// Lets a type be that of a [`PolicyField`].
macro_rules! policy_value {
    ($type:ty, $variant:ident) => {
        impl From<$type> for PolicyValue {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }

        impl TryFrom<PolicyValue> for $type {
            type Error = PolicyValueError;

            fn try_from(value: PolicyValue) -> Result<Self, PolicyValueError> {
                match value {
                    PolicyValue::$variant(value) => Ok(value),
                    _ => Err(PolicyValueError::Kind),
                }
            }
        }
    };
}

policy_value!(Strategy, Strategy);
policy_value!(Duration, Duration);
policy_value!(u32, Number);
policy_value!(bool, Bool);
policy_value!(StockWrites, StockWrites);
policy_value!(JoinPolicy, Join);

impl fmt::Display for PolicyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strategy(strategy) => strategy.fmt(f),
            Self::Duration(duration) => humantime::format_duration(*duration).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Bool(is_set) => is_set.fmt(f),
            Self::StockWrites(stock_writes) => stock_writes.fmt(f),
            Self::Join(join) => join.fmt(f),
        }
    }
}

/// Which membership changes Convene makes without a request. These are the strategies of elastic-etcd, the strictest
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// None. An administrator adds and removes members; a node starts as the member that was added for it.
    Prepared,
    /// Add members until the cluster has its size. Never remove one.
    Add,
    /// Also remove a dead member, when a spare takes its place.
    #[default]
    Replace,
    /// Also remove dead members one at a time when no spare takes their place.
    Prune,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Prepared, Self::Add, Self::Replace, Self::Prune];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Prune => "prune",
        }
    }

    /// Whether dead members may be removed.
    pub fn removes_dead(self) -> bool {
        matches!(self, Self::Replace | Self::Prune)
    }
}

crate::text::as_word!(Strategy, StrategyError, "a strategy", "must be one of prepared, add, replace and prune");

/// What a node must show when it checks in, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JoinPolicy {
    /// Nothing before its first check-in. A credential that it sends then is the only valid one for its name afterwards.
    Open,
    /// A join token, which it exchanges for its credential at its first check-in.
    #[default]
    Token,
    /// A verified client certificate with its name.
    Certificate,
}

impl JoinPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Open, Self::Token, Self::Certificate];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

crate::text::as_word!(JoinPolicy, JoinPolicyError, "a join policy", "must be one of open, token and certificate");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_back_field_by_field() {
        let policy = Policy {
            strategy: Strategy::Prune,
            dead_after: Duration::from_secs(7),
            learner: false,
            check_in_every: Duration::from_secs(3),
            paused: true,
            max_failed_starts: 9,
            witnesses: 1,
            stock_writes: StockWrites::Allow,
            join: JoinPolicy::Certificate,
        };
        let mut change = PolicyChange::default();
        for field in Policy::FIELDS {
            field.set(&mut change, field.get(&policy)).unwrap();
        }
        assert_eq!(change.apply_to(Policy::default()), policy);
    }

    #[test]
    fn values_of_another_kind_or_out_of_bounds_are_refused() {
        let dead_after = Policy::FIELDS.iter().find(|field| field.name == "dead_after").unwrap();
        let refused = |value| dead_after.set(&mut PolicyChange::default(), value).unwrap_err().to_string();
        assert_eq!(refused(PolicyValue::Bool(true)), "is a value of another kind");
        assert_eq!(refused(PolicyValue::Duration(Duration::from_secs(4))), "must be from 5s to 7days");
        let starts = Policy::FIELDS.iter().find(|field| field.name == "max_failed_starts").unwrap();
        let refused = |value| starts.set(&mut PolicyChange::default(), value).unwrap_err().to_string();
        assert_eq!(refused(PolicyValue::Number(0)), "must be from 1 to 1000");
    }
}
