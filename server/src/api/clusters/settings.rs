use std::borrow::Cow;

use convene_lifecycle::{ClusterSize, JoinPolicy, Policy, PolicyChange, StockWrites, Strategy};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{
    ToSchema,
    openapi::{KnownFormat, RefOr, Schema},
};

use crate::api::body::{Limits, Number, Scalar, Seconds, body, integer, scalar, whole_number};

type DeadAfter = Seconds<{ Policy::DEAD_AFTER.0.as_secs() }, { Policy::DEAD_AFTER.1.as_secs() }>;
type CheckInEvery = Seconds<{ Policy::CHECK_IN_EVERY.0.as_secs() }, { Policy::CHECK_IN_EVERY.1.as_secs() }>;

body! {
    /// How Convene maintains a cluster. A field that is left out keeps its value; in a new cluster, it has its default.
    #[body(name = "PolicySettings", unknown_fields = Refused)]
    #[derive(Default)]
    pub struct PolicySettings {
        /// Which membership changes Convene makes without a request.
        strategy: Option<Strategy>,
        /// How long a member must be silent, and probes of it must fail, before it counts as dead.
        #[example = 60]
        dead_after_seconds: Option<DeadAfter>,
        /// Whether a node joins as a learner and is promoted once it has caught up. If not, it joins as a voter.
        learner: Option<bool>,
        /// How often a running node checks in.
        #[example = 10]
        check_in_every_seconds: Option<CheckInEvery>,
        /// Whether all membership changes are paused until an administrator resumes them.
        paused: Option<bool>,
        /// After how many starts a member counts as failing, if etcd did not answer, or ended within 10 s, each time.
        /// The check-ins of a failing member are no sign of life.
        #[example = 5]
        max_failed_starts: Option<Number<1, 1000>>,
        /// How many witnesses must confirm that a voter is dead: 1 for failed probes alone, 2 for failed probes and the
        /// voters' side.
        #[example = 2]
        witnesses: Option<Number<1, 2>>,
        /// Whether v2 and v3 clients may change the cluster after it has formed, and the size of a check-in raises the cluster's.
        /// Reads are always allowed.
        stock_writes: Option<StockWrites>,
        /// What a node must show when it checks in. Only a server with `--auth on` demands it.
        join: Option<JoinPolicy>,
    }
}

impl PolicySettings {
    /// The same change for the registry.
    pub fn into_change(self) -> PolicyChange {
        PolicyChange {
            strategy: self.strategy,
            dead_after: self.dead_after_seconds.map(|Seconds(duration)| duration),
            learner: self.learner,
            check_in_every: self.check_in_every_seconds.map(|Seconds(duration)| duration),
            paused: self.paused,
            max_failed_starts: self.max_failed_starts.map(|Number(number)| number),
            witnesses: self.witnesses.map(|Number(number)| number),
            stock_writes: self.stock_writes,
            join: self.join,
        }
    }
}

/// Which membership changes Convene makes without a request, the strictest strategy first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Strategy)]
#[serde(rename_all = "snake_case")]
pub enum StrategyWord {
    /// None. An administrator adds and removes members; a node starts as the member that was added for it.
    Prepared,
    /// Add members until the cluster has its size. Never remove one.
    Add,
    /// Also remove a dead member, when a spare takes its place.
    Replace,
    /// Also remove dead members one at a time when no spare takes their place.
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

/// What a node must show when it checks in, the weakest policy first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JoinPolicy)]
#[serde(rename_all = "snake_case")]
pub enum JoinWord {
    /// Nothing before its first check-in. A credential that it sends then is the only valid one for its name
    /// afterwards.
    Open,
    /// A join token, which it exchanges for its credential at its first check-in.
    Token,
    /// A verified client certificate with its name.
    Certificate,
}

impl From<JoinPolicy> for JoinWord {
    fn from(join: JoinPolicy) -> Self {
        match join {
            JoinPolicy::Open => Self::Open,
            JoinPolicy::Token => Self::Token,
            JoinPolicy::Certificate => Self::Certificate,
        }
    }
}

scalar!(JoinPolicy, "one of open, token and certificate", schema of JoinWord);

scalar!(Strategy, "one of prepared, add, replace and prune", schema of StrategyWord);

/// Whether v2 and v3 clients may change a cluster after it has formed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockWrites)]
#[serde(rename_all = "snake_case")]
pub enum StockWritesWord {
    /// They may not: whoever knows the token can only read.
    Refuse,
    /// They may, as elastic-etcd does.
    Allow,
}

impl From<StockWrites> for StockWritesWord {
    fn from(stock_writes: StockWrites) -> Self {
        match stock_writes {
            StockWrites::Refuse => Self::Refuse,
            StockWrites::Allow => Self::Allow,
        }
    }
}

scalar!(StockWrites, "refuse or allow", schema of StockWritesWord);

/// A cluster's size.
#[derive(Debug)]
pub struct Size(pub ClusterSize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = u32::try_from(whole_number(deserializer, 1, u32::MAX.into())?).ok().and_then(ClusterSize::new);
        size.map(Self).ok_or_else(|| D::Error::custom("must be at least 1"))
    }
}

impl Scalar for Size {
    fn expected(limits: &Limits) -> Cow<'static, str> {
        format!("a whole number from 1 to {}", limits.max_cluster_size).into()
    }

    fn fits(&self, limits: &Limits) -> bool {
        self.0 <= limits.max_cluster_size
    }

    fn schema() -> RefOr<Schema> {
        // The description is the same for all servers, so it has the largest limit that can be configured.
        integer(KnownFormat::Int32).minimum(Some(1)).maximum(Some(1000)).into()
    }
}
