use std::time::Duration;

use clap::Args;
use convene_lifecycle::{JoinPolicy, StockWrites, Strategy};

use crate::registry::PolicySettings;

/// The flags for a cluster's policy.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Membership changes that are allowed without a request: prepared, add, replace or prune [default for a new cluster: replace]
    #[arg(long)]
    strategy: Option<Strategy>,
    /// Time after which a silent member counts as dead, in whole seconds [default for a new cluster: 60s]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    dead_after: Option<u64>,
    /// Interval at which a running node checks in, in whole seconds [default for a new cluster: 10s]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    check_in_every: Option<u64>,
    /// Whether nodes join as learners, and are promoted once they have caught up [default for a new cluster: true]
    #[arg(long, value_name = "BOOL")]
    learner: Option<bool>,
    /// Failed starts of etcd after which a member counts as failing, 1 to 1000 [default for a new cluster: 5]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_failed_starts: Option<u32>,
    /// Witnesses that must confirm that a voter is dead: 1 for failed probes alone, 2 for failed probes and the voters'
    /// side [default for a new cluster: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2))]
    witnesses: Option<u32>,
    /// Whether v2 and v3 clients may change the cluster after it has formed: refuse or allow [default for a new cluster: refuse]
    #[arg(long)]
    stock_writes: Option<StockWrites>,
    /// What a node must show when it checks in: open, token or certificate [default for a new cluster: token]
    #[arg(long, value_name = "POLICY")]
    join: Option<JoinPolicy>,
}

impl PolicyArgs {
    /// The settings that were given.
    pub fn settings(&self) -> PolicySettings {
        PolicySettings {
            strategy: self.strategy,
            dead_after_seconds: self.dead_after,
            learner: self.learner,
            check_in_every_seconds: self.check_in_every,
            max_failed_starts: self.max_failed_starts,
            witnesses: self.witnesses,
            stock_writes: self.stock_writes,
            join: self.join,
        }
    }
}

/// A time in whole seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let time: Duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.subsec_nanos() > 0 { Err("must be whole seconds".to_owned()) } else { Ok(time.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1m 30s"), Ok(90));
        assert_eq!(seconds("1500ms"), Err("must be whole seconds".to_owned()));
        assert!(seconds("soon").is_err());
    }
}
