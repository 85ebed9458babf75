//! The command line.

mod environment;
mod go_style;
mod redaction;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::BoolishValueParser, error::ErrorKind,
};
use convene_lifecycle::{ClientUrl, MemberName, PeerUrl, Strategy};

use crate::{
    cluster::ClusterCommand,
    discovery_url::{DiscoveryUrl, ServerUrl},
    member::MemberCommand,
    output::Format,
};

/// Asks a Convene server what this node's etcd does next, and makes it so.
#[derive(Debug, Parser)]
#[command(name = "convene", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// How progress is told on standard error
    #[arg(long, global = true, value_enum, default_value = "text", env = "CONVENE_LOG_FORMAT")]
    pub log_format: LogFormat,
    #[command(flatten)]
    ignored: Ignored,
    #[command(subcommand)]
    pub command: Command,
}

/// What `convene --help` ends with.
const EXIT_CODES: &str = "\
Every flag of join, promote and leave has a variable, CONVENE_ and the flag's name; where etcd has one of the same \
meaning (ETCD_NAME), it is taken when neither is given. Flags may be written with one dash, as Go programs take them.

Exit codes: 0 done; 1 failed on this machine (files, data directory); 2 bad usage; 3 refused, by the registry or by \
etcd; 4 --timeout is over; 5 the registry can't be reached.";

// Under which headings flags are in `--help`: each flag names its own, because a heading of a group would go on with the
// flags after it.
const REGISTRY: &str = "Which registry";
const REGISTRY_TLS: &str = "TLS to the registry";
const ETCD_ACCESS: &str = "TLS and user for etcd";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes the cluster's membership right for this node, and prints how to start its etcd
    #[command(after_help = EXIT_CODES)]
    Join(JoinArgs),
    /// Waits until this node's member has caught up, and makes it a voter
    #[command(after_help = EXIT_CODES)]
    Promote(PromoteArgs),
    /// Takes this node's member out of the cluster, safely
    #[command(after_help = EXIT_CODES)]
    Leave(LeaveArgs),
    /// Shows what the registry knows of this node's cluster
    Status(StatusArgs),
    /// Makes and looks after clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Looks after a cluster's members
    #[command(subcommand)]
    Member(MemberCommand),
}

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `convene join` is told.
#[derive(Debug, Args)]
pub struct JoinArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// How the result is printed on standard output
    #[arg(short = 'o', long, value_enum, default_value = "env", env = "CONVENE_OUTPUT")]
    pub output: Format,
    /// Which changes of membership this node may make to get in: prepared, add, replace or prune; the stricter of this
    /// and the cluster's own strategy counts [default: the cluster's]
    #[arg(long, value_name = "STRATEGY", env = "CONVENE_JOIN_STRATEGY")]
    pub join_strategy: Option<Strategy>,
    /// How many voters the cluster is to have: its size is raised to this; where its size is larger, this node stays out
    /// once there are so many voters. -1: as the cluster has it
    #[arg(long, value_name = "SIZE", default_value = "-1", value_parser = cluster_size, allow_hyphen_values = true, env = "CONVENE_CLUSTER_SIZE")]
    pub cluster_size: SizeOverride,
    /// Be refused rather than wait as a spare if the cluster does not need this node; for all else it waits
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_ONCE")]
    pub once: bool,
    /// Give up after this time, such as 90s or 5m [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Say what would be done next and why, and do nothing
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_DRY_RUN")]
    pub dry_run: bool,
    /// How long the registry may be out of reach until a node with valid data is started without it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "CONVENE_OFFLINE_GRACE")]
    pub offline_grace: Duration,
    /// Don't leave a process behind that promotes this node's member once it has caught up; `convene promote` does it
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_NO_PROMOTE")]
    pub no_promote: bool,
}

/// What `convene promote` is told.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Duration,
    /// Give up only when etcd has not answered for so long: what `convene join` leaves behind
    #[arg(long, hide = true)]
    pub as_long_as_etcd_runs: bool,
}

/// What `convene leave` is told.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Duration,
}

/// What `convene status` is told.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    pub output: TableFormat,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people.
    Table,
    /// As the registry answers it.
    Json,
}

/// Which cluster it is.
#[derive(Debug, Args)]
pub struct DiscoveryArgs {
    /// The cluster's discovery URL, http://HOST:PORT/TOKEN. It is a secret: the variable keeps it out of lists of processes
    #[arg(long, value_name = "URL", env = "CONVENE_DISCOVERY", hide_env_values = true)]
    pub discovery: DiscoveryUrl,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
}

/// How the registry is reached with TLS.
#[derive(Debug, Args)]
pub struct RegistryTlsArgs {
    /// The CA that has signed the registry's certificate [default: the system's]
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "FILE", env = "CONVENE_DISCOVERY_CACERT")]
    pub discovery_cacert: Option<PathBuf>,
    /// A client certificate for the registry
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "FILE", requires = "discovery_key", env = "CONVENE_DISCOVERY_CERT")]
    pub discovery_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "FILE", requires = "discovery_cert", env = "CONVENE_DISCOVERY_KEY")]
    pub discovery_key: Option<PathBuf>,
}

/// Which server it is, for those who look after clusters.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The server's URL, http://HOST:PORT, for a cluster that has none of its own [default: that of --discovery]
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_SERVER", hide_env_values = true)]
    pub server: Option<ServerUrl>,
    /// A cluster's discovery URL, http://HOST:PORT/TOKEN: the cluster that is meant where none is named
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_DISCOVERY", hide_env_values = true)]
    pub discovery: Option<DiscoveryUrl>,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
}

/// Who this node is, as its etcd is told it, too.
#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
    /// etcd's --name
    #[arg(long, env = "CONVENE_NAME")]
    pub name: MemberName,
    /// etcd's --data-dir [default: NAME.etcd]
    #[arg(long, value_name = "DIR", env = "CONVENE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// etcd's --wal-dir [default: in the data directory]
    #[arg(long, value_name = "DIR", env = "CONVENE_WAL_DIR")]
    pub wal_dir: Option<PathBuf>,
    /// Where other members reach this node [default: for a member, as it is registered; else http://localhost:2380]
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = trimmed::<PeerUrl>,
        env = "CONVENE_INITIAL_ADVERTISE_PEER_URLS"
    )]
    pub initial_advertise_peer_urls: Vec<PeerUrl>,
    /// Where clients reach this node's etcd, as others are told
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = trimmed::<ClientUrl>,
        env = "CONVENE_ADVERTISE_CLIENT_URLS"
    )]
    pub advertise_client_urls: Vec<ClientUrl>,
    /// The port of clients at members whose client URLs nobody knows
    #[arg(long, value_name = "PORT", default_value = "2379", value_parser = clap::value_parser!(u16).range(1..), env = "CONVENE_CLIENT_PORT")]
    pub client_port: u16,
    #[command(flatten)]
    pub access: AccessArgs,
}

impl NodeArgs {
    /// Whom progress is about.
    pub fn subject(&self) -> String {
        format!("{} in {}", self.name, self.discovery.discovery.token)
    }
}

/// How etcd is reached with TLS and a user.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// The CA that has signed etcd's certificates for clients [default: the system's]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", env = "CONVENE_CACERT")]
    pub cacert: Option<PathBuf>,
    /// A client certificate for etcd
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", requires = "key", env = "CONVENE_CERT")]
    pub cert: Option<PathBuf>,
    /// Its key
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", requires = "cert", env = "CONVENE_KEY")]
    pub key: Option<PathBuf>,
    /// NAME:PASSWORD of an etcd user who may change membership (root), if etcd's auth is on
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "NAME:PASSWORD", value_parser = user, env = "CONVENE_USER", hide_env_values = true)]
    pub user: Option<convene_etcd::User>,
    /// The CA that has signed etcd's certificates for peers [default: that of --cacert]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", alias = "peer-cacert", env = "CONVENE_PEER_TRUSTED_CA_FILE")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// A certificate for etcd's peer ports [default: that of --cert]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", alias = "peer-cert", requires = "peer_key_file", env = "CONVENE_PEER_CERT_FILE")]
    pub peer_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "FILE", alias = "peer-key", requires = "peer_cert_file", env = "CONVENE_PEER_KEY_FILE")]
    pub peer_key_file: Option<PathBuf>,
}

/// Flags of elastic-etcd's log library, which are taken so that its command lines work, and do nothing.
#[derive(Debug, Args)]
struct Ignored {
    #[arg(short = 'v', long = "v", global = true, hide = true)]
    v: Option<String>,
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true)]
    logtostderr: Option<Option<String>>,
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true)]
    alsologtostderr: Option<Option<String>>,
    #[arg(long = "log_dir", global = true, hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_backtrace_at", global = true, hide = true)]
    log_backtrace_at: Option<String>,
    #[arg(long, global = true, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long, global = true, hide = true)]
    vmodule: Option<String>,
}

/// How many voters a node would like its cluster to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeOverride(pub Option<u32>);

impl Cli {
    /// Whom the command is about, if it is about one node.
    pub fn subject(&self) -> String {
        let node = match &self.command {
            Command::Join(arguments) => &arguments.node,
            Command::Promote(arguments) => &arguments.node,
            Command::Leave(arguments) => &arguments.node,
            Command::Status(_) | Command::Cluster(_) | Command::Member(_) => return String::new(),
        };
        node.subject()
    }

    /// Reads the command line and the variables, or says what is wrong with them and ends.
    pub fn read() -> Self {
        Self::from_arguments(std::env::args_os(), &|name| std::env::var_os(name)).unwrap_or_else(|error| error.exit())
    }

    fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let command = Self::command();
        let arguments = go_style::with_two_dashes(&command, arguments);
        let matches = match environment::with_etcd_variables(command.clone(), variable).try_get_matches_from(&arguments)
        {
            // Help names our own variables, whichever are set.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => command.try_get_matches_from(arguments),
            matches => matches,
        };
        matches.and_then(|matches| Self::from_arg_matches(&matches)).map_err(redaction::redact)
    }
}

/// An item of a list, as etcd takes it: with blanks around it (`pkg/types/urls.go:NewURLs`).
fn trimmed<T: std::str::FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}

fn cluster_size(text: &str) -> Result<SizeOverride, String> {
    const MUST: &str = "must be a whole number from 1 to 1000, or -1 for the size that the cluster has";
    match text.parse::<i64>() {
        Ok(-1) => Ok(SizeOverride(None)),
        Ok(0) => Err(format!("{MUST}; a cluster without a limit (0) can't be looked after")),
        Ok(size) => match u32::try_from(size) {
            Ok(size @ 1..=1000) => Ok(SizeOverride(Some(size))),
            _ => Err(MUST.to_owned()),
        },
        Err(_) => Err(MUST.to_owned()),
    }
}

fn user(text: &str) -> Result<convene_etcd::User, &'static str> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => {
            Ok(convene_etcd::User { name: name.to_owned(), password: password.to_owned() })
        }
        _ => Err("must be NAME:PASSWORD"),
    }
}

#[cfg(test)]
mod tests;
