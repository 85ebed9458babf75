use std::time::Duration;

use clap::Args;
use convene_lifecycle::Strategy;

use crate::session::CheckInOptions;

/// What a node may do to get its place in the cluster.
#[derive(Debug, Args)]
pub struct PlacementArgs {
    /// Membership changes that this node may make to join: prepared, add, replace or prune
    ///
    /// `prepared`, the strictest, makes no change: an administrator adds nodes. `add` adds members until the size is
    /// reached. `replace` also removes a dead member when this node takes its place. `prune` also removes dead members
    /// without a replacement. The stricter of this strategy and the cluster's applies. [default: the cluster's
    /// strategy]
    #[arg(long, value_name = "STRATEGY", env = "CONVENE_JOIN_STRATEGY")]
    pub join_strategy: Option<Strategy>,
    /// Target number of voters, 1 to 1000; -1 keeps the cluster's size
    ///
    /// A larger value raises the cluster's size if its policy has `stock_writes: allow`, and otherwise changes nothing. With a
    /// smaller value, this node joins only while the cluster has fewer voters than this value.
    #[arg(long, value_name = "SIZE", default_value = "-1", value_parser = cluster_size, allow_hyphen_values = true, env = "CONVENE_CLUSTER_SIZE")]
    pub cluster_size: SizeOverride,
    /// Number of the current epoch, as the consent to archive data of this node from before a reset
    ///
    /// After `convene cluster reset`, a node keeps its data until an administrator consents on the node itself, because
    /// that data may be the only copy. The consent is for this epoch only, so the flag is harmless after the next reset.
    #[arg(long, value_name = "EPOCH", value_parser = clap::value_parser!(u32).range(1..), env = "CONVENE_ACCEPT_RESET")]
    pub accept_reset: Option<u32>,
    /// Time for which the registry may be unreachable before a node with data starts without it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration, env = "CONVENE_OFFLINE_GRACE")]
    pub offline_grace: Duration,
}

impl PlacementArgs {
    /// What the node asks for in its check-ins.
    pub fn check_in_options(&self) -> CheckInOptions {
        let Self { join_strategy: strategy, cluster_size: SizeOverride(size), accept_reset, .. } = *self;
        CheckInOptions { strategy, size, accept_reset, ..CheckInOptions::default() }
    }
}

/// `--cluster-size`; `None` stands for the size of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeOverride(pub Option<u32>);

fn cluster_size(text: &str) -> Result<SizeOverride, String> {
    const EXPECTED: &str = "must be a whole number from 1 to 1000, or -1 for the size of the cluster";
    match text.parse::<i64>() {
        Ok(-1) => Ok(SizeOverride(None)),
        Ok(0) => Err(format!("{EXPECTED}; clusters without a size limit (0) are not supported")),
        Ok(size) => match u32::try_from(size) {
            Ok(size @ 1..=1000) => Ok(SizeOverride(Some(size))),
            _ => Err(EXPECTED.to_owned()),
        },
        Err(_) => Err(EXPECTED.to_owned()),
    }
}
