use std::{ffi::OsString, str::FromStr, time::Duration};

use clap::{Args, builder::BoolishValueParser};

use super::{NodeArgs, PlacementArgs};

/// The flags of `convene run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// Address at which this node reports its health and metrics over HTTP, or `off`
    ///
    /// Anybody who reaches the address can read the state of this node. It shows no secrets.
    // Next to etcd's ports 2379 and 2380, and 2381, which many use for etcd's metrics.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2382", env = "CONVENE_NODE_LISTEN")]
    pub node_listen: NodeListen,
    /// Time in which etcd must end once it was asked to stop, before it is killed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, env = "CONVENE_STOP_TIMEOUT")]
    pub stop_timeout: Duration,
    /// Downtime to announce when this node is stopped: time in which it does not count as dead; 0 announces none
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration, env = "CONVENE_DOWNTIME")]
    pub downtime: Duration,
    /// Remove the member of this node from the cluster when this node is stopped
    ///
    /// At its next start, the node joins as a new member, without the old data. Without this flag, a stopped node stays
    /// a member and starts on its data.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_LEAVE_ON_STOP")]
    pub leave_on_stop: bool,
    /// Take over an etcd that already runs on the data directory, instead of waiting for its end
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_ADOPT")]
    pub adopt: bool,
    /// Longest pause before etcd is started again after it has failed; the pause grows from failure to failure
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, env = "CONVENE_RESTART_PAUSE")]
    pub restart_pause: Duration,
    /// Path of etcd with its flags, after `--`
    ///
    /// Name, directories, URLs, TLS files and the discovery URL are taken from etcd's flags, or else from its variables such as
    /// ETCD_NAME. If etcd has a configuration file (--config-file or ETCD_CONFIG_FILE), they are taken only from there, because etcd
    /// reads nothing else then. Flags and variables of `convene run` have precedence.
    #[arg(last = true, required = true, value_name = "ETCD")]
    pub etcd: Vec<OsString>,
}

/// `--node-listen`: HOST:PORT, or `None` if it is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeListen(pub Option<String>);

impl FromStr for NodeListen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let has_port =
            || text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        match text {
            "off" => Ok(Self(None)),
            _ if has_port() => Ok(Self(Some(text.to_owned()))),
            _ => Err("must be HOST:PORT, or off"),
        }
    }
}
