use std::{borrow::Cow, time::Duration};

use convene_lifecycle::{ClusterSize, Policy, PolicyChange, Strategy};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::ToSchema;

use crate::api::body::{Body, Field, Fields, Limits, Whole};

/// How a cluster is looked after. What is left out stays as it is, or as it is for a new cluster.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Which changes of membership may be made without anybody asking for them.
    #[schema(value_type = Option<StrategyWord>)]
    strategy: Option<Strategy>,
    /// For how long nobody may have heard of a member before it counts as dead: 5 s to 7 days, and 60 s unless it is
    /// set.
    #[schema(value_type = Option<u32>, minimum = 5, maximum = 604800, example = 60)]
    dead_after_seconds: Option<DeadAfter>,
    /// Whether a node joins as learner and is promoted once it has caught up, or as voter.
    learner: Option<bool>,
    /// How often a running node checks in: 1 s to 1 hour, and every 10 s unless it is set.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3600, example = 10)]
    check_in_every_seconds: Option<CheckInEvery>,
    /// Whether all changes of membership rest.
    paused: Option<bool>,
}

impl Body for PolicySettings {
    fn check(fields: &mut Fields<'_>) {
        fields.optional::<Strategy>("strategy");
        fields.optional::<DeadAfter>("dead_after_seconds");
        fields.optional::<bool>("learner");
        fields.optional::<CheckInEvery>("check_in_every_seconds");
        fields.optional::<bool>("paused");
    }
}

impl PolicySettings {
    /// The same change for the registry.
    pub fn into_change(self) -> PolicyChange {
        PolicyChange {
            strategy: self.strategy,
            dead_after: self.dead_after_seconds.map(|DeadAfter(duration)| duration),
            learner: self.learner,
            check_in_every: self.check_in_every_seconds.map(|CheckInEvery(duration)| duration),
            paused: self.paused,
        }
    }
}

/// Which changes of membership may be made without anybody asking for them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Strategy)]
#[serde(rename_all = "snake_case")]
pub enum StrategyWord {
    /// None: an administrator adds and removes members, and nodes join as what was prepared.
    Prepared,
    /// Members are added until the cluster has its size, and never removed.
    Add,
    /// A dead member is removed when a node is there to take its place.
    Replace,
    /// Dead members are removed one at a time, also when no node is there to take their place.
    Prune,
}

impl From<Strategy> for StrategyWord {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Prepared => Self::Prepared,
            Strategy::Add => Self::Add,
            Strategy::Replace => Self::Replace,
            Strategy::Prune => Self::Prune,
        }
    }
}

/// A cluster's size.
#[derive(Debug)]
pub struct Size(pub ClusterSize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = ClusterSize::new(Whole::deserialize(deserializer)?.0);
        size.map(Self).ok_or_else(|| D::Error::custom("a cluster has at least one voter"))
    }
}

impl Field for Size {
    fn expected(limits: &Limits) -> Cow<'static, str> {
        format!("a whole number from 1 to {}", limits.max_cluster_size).into()
    }

    fn fits(&self, limits: &Limits) -> bool {
        self.0 <= limits.max_cluster_size
    }
}

/// [`Policy::dead_after`].
#[derive(Debug)]
struct DeadAfter(Duration);

/// [`Policy::check_in_every`].
#[derive(Debug)]
struct CheckInEvery(Duration);

impl<'de> Deserialize<'de> for DeadAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        seconds(deserializer, Policy::DEAD_AFTER).map(Self)
    }
}

impl<'de> Deserialize<'de> for CheckInEvery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        seconds(deserializer, Policy::CHECK_IN_EVERY).map(Self)
    }
}

impl Field for DeadAfter {
    fn expected(_: &Limits) -> Cow<'static, str> {
        whole_seconds(Policy::DEAD_AFTER)
    }
}

impl Field for CheckInEvery {
    fn expected(_: &Limits) -> Cow<'static, str> {
        whole_seconds(Policy::CHECK_IN_EVERY)
    }
}

fn seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
    (least, most): (Duration, Duration),
) -> Result<Duration, D::Error> {
    let duration = Duration::from_secs(Whole::deserialize(deserializer)?.0.into());
    if (least..=most).contains(&duration) { Ok(duration) } else { Err(D::Error::custom("is out of range")) }
}

fn whole_seconds((least, most): (Duration, Duration)) -> Cow<'static, str> {
    format!("a whole number of seconds from {} to {}", least.as_secs(), most.as_secs()).into()
}
