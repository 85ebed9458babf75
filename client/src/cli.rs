//! The command line.

mod environment;
mod etcd_settings;
mod glog_flags;
mod go_style;
mod node_args;
mod placement_args;
mod redaction;
mod registry_args;
mod run_args;
mod secrets;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, time::Duration};

use clap::{
    Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::BoolishValueParser,
    error::ErrorKind,
};
use convene_lifecycle::{ClientUrl, EtcdVersion};

use crate::{
    cluster::ClusterCommand, etcd_command::Variables, explain::ExplainCommand, member::MemberCommand, output::Format,
    token::TokenCommand,
};
use etcd_settings::EtcdSettings;
use glog_flags::GlogFlags;

pub use node_args::{AccessArgs, NodeArgs};
pub use placement_args::PlacementArgs;
pub use registry_args::{DiscoveryArgs, RegistryTlsArgs, ServerArgs};
pub use run_args::{NodeListen, RunArgs};

/// Form, repair and manage etcd clusters through a Convene server
#[derive(Debug, Parser)]
#[command(name = "convene", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// Format of the log on standard error
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value = "text", env = "CONVENE_LOG_FORMAT")]
    pub log_format: LogFormat,
    #[command(flatten)]
    glog_flags: GlogFlags,
    #[command(subcommand)]
    pub command: Command,
    /// Warnings about secrets that others on this machine can read, for the log.
    #[arg(skip)]
    pub warnings: Vec<String>,
}

/// The end of `convene --help`. The reference in docs/ has it in Markdown, where four spaces make a block of code.
const AFTER_HELP: &str = "\
Each flag of run, join, promote and leave can also be set by a variable: --data-dir by CONVENE_DATA_DIR. Without flag and \
variable, etcd's own variable applies, such as ETCD_DATA_DIR. Flags may have one dash, as in Go programs.

Exit codes:

    0  success
    1  failure on this machine: a file, the data directory, the output
    2  wrong usage
    3  refused by the registry or by etcd
    4  timed out (--timeout)
    5  the registry is unreachable or unavailable
    6  refused until this node itself is changed: a service manager should not restart `convene run`";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run etcd as a member of the cluster, and supervise it
    // The name may also be that of etcd's command, which clap can't know.
    #[command(
        after_help = AFTER_HELP,
        override_usage = "convene run [OPTIONS] -- <ETCD>...",
        mut_args(with_default_of_etcd)
    )]
    Run(RunArgs),
    /// Form, join or repair the cluster, then print how to start etcd on this node
    #[command(after_help = AFTER_HELP)]
    Join(JoinArgs),
    /// Wait until the member of this node has caught up, and promote it to voter
    #[command(after_help = AFTER_HELP)]
    Promote(PromoteArgs),
    /// Remove the member of this node from the cluster, without losing quorum
    #[command(after_help = AFTER_HELP)]
    Leave(LeaveArgs),
    /// Show the cluster of this node, and its members
    Status(StatusArgs),
    /// Create and manage clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// List and evict members of a cluster, announce downtimes, and revoke credentials
    #[command(subcommand)]
    Member(MemberCommand),
    /// Create, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Explain what the program does
    #[command(subcommand)]
    Explain(ExplainCommand),
}

/// The name has a default only in front of etcd.
fn with_default_of_etcd(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "name" => argument.help("Name of this node [default: the --name of etcd]"),
        _ => argument,
    }
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines
    Text,
    /// One JSON object per line
    Json,
}

/// The flags of `convene join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Format of the result on standard output
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "env", env = "CONVENE_OUTPUT")]
    pub output: Format,
    #[command(flatten)]
    pub placement: PlacementArgs,
    /// Exit with code 3 instead of waiting as a spare when the cluster is full
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_ONCE")]
    pub once: bool,
    /// Version of this node's etcd, such as 3.6.5. With it, a node that does not fit the cluster's versions is refused
    /// before it is added
    #[arg(long, value_name = "VERSION", env = "CONVENE_ETCD_VERSION")]
    pub etcd_version: Option<EtcdVersion>,
    /// Time after which to give up, such as 90s or 5m: exit code 4, or 5 if the registry is unreachable [default:
    /// never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Print the next instruction and its reason, and change nothing
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_DRY_RUN")]
    pub dry_run: bool,
    /// Don't start a background process that promotes the member of this node; run `convene promote` instead
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_NO_PROMOTE")]
    pub no_promote: bool,
}

/// The flags of `convene promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Time after which to give up, such as 90s or 5m: exit code 4, or 5 if the registry is unreachable
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Duration,
    /// Run as the promoter of `convene join`: one per data directory, for as long as an etcd process uses it
    ///
    /// Exits when the registry knows that the member is a voter, when no etcd process has used the data directory in the first 30 s, or
    /// 10 s after etcd's process has exited.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CONVENE_AS_LONG_AS_ETCD_RUNS")]
    pub as_long_as_etcd_runs: bool,
}

/// The flags of `convene leave`.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Time after which to give up, such as 90s or 5m: exit code 4, or 5 if the registry is unreachable
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration, env = "CONVENE_TIMEOUT")]
    pub timeout: Duration,
}

/// The flags of `convene status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
    /// Client URLs of the etcd on this node, to query in addition to those in the registry
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = node_args::trimmed::<ClientUrl>,
        env = "CONVENE_ADVERTISE_CLIENT_URLS"
    )]
    pub advertise_client_urls: Vec<ClientUrl>,
    /// Client port to assume for members whose client URLs are unknown
    #[arg(long, value_name = "PORT", default_value = "2379", value_parser = clap::value_parser!(u16).range(1..), env = "CONVENE_CLIENT_PORT")]
    pub client_port: u16,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: TableFormat,
}

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Human-readable table
    Table,
    /// Response of the API
    Json,
}

impl Cli {
    /// The node and the cluster of the command, for the log; empty if the command is not about one node.
    pub fn subject(&self) -> String {
        let node = match &self.command {
            Command::Run(arguments) => &arguments.node,
            Command::Join(arguments) => &arguments.node,
            Command::Promote(arguments) => &arguments.node,
            Command::Leave(arguments) => &arguments.node,
            Command::Status(_) | Command::Cluster(_) | Command::Member(_) | Command::Token(_) | Command::Explain(_) => {
                return String::new();
            }
        };
        node.subject()
    }

    /// Reads the command line and the variables. On an error, prints it and exits with 2.
    pub fn read() -> Self {
        Self::from_arguments(std::env::args_os(), &Variables::of_process()).unwrap_or_else(|error| error.exit())
    }

    fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
        variables: &Variables,
    ) -> Result<Self, clap::Error> {
        let command = Self::command();
        let arguments = go_style::with_two_dashes(&command, arguments);
        let etcd = EtcdSettings::read(&command, &arguments, variables)?;
        let arguments = etcd.insert_into(arguments);
        let with_variables = environment::with_etcd_variables(command.clone(), &|name| etcd.variable(name));
        let matches = match with_variables.try_get_matches_from(&arguments) {
            // Help shows our own variables, even if etcd's are set.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => command.clone().try_get_matches_from(arguments),
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                Err(environment::with_variables_of_missing_flags(error, &command, etcd.tip_about_missing_flags()))
            }
            matches => matches.map_err(|error| etcd.with_origin(error)),
        };
        let read = matches.and_then(|matches| {
            let warnings = secrets::warnings(&matches, &|id| etcd.is_from_file(id));
            let cli = Self::from_arg_matches(&matches)?;
            if let Command::Run(arguments) = &cli.command {
                etcd.check(&arguments.node)?;
            }
            Ok(Self { warnings, ..cli })
        });
        read.map_err(redaction::redact)
    }
}
