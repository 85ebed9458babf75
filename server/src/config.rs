mod quotas;
mod secrets;
mod transport;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::LazyLock, time::Duration};

use clap::{Args, Parser, Subcommand};
use convene_lifecycle::{ClusterSize, StockWrites};
use thiserror::Error;
use url::Url;

use crate::{
    access::{AuthMode, CertificateRule},
    browsers::{Host, Origin},
    logging::LogFormat,
    new_clusters::NewMode,
    store::{Abandoned, DatabaseLimits, DatabaseUrl},
    token_command::TokenCommand,
    v2::Folder,
};

pub use quotas::QuotaArgs;
pub use secrets::hidden;
pub use transport::{LimitArgs, TlsArgs};

/// Run a self-hosted discovery service for etcd
///
/// Without a command, the server runs until it receives SIGTERM or SIGINT.
#[derive(Clone, Debug, Parser)]
#[command(name = "convene-server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,

    #[command(flatten)]
    pub serve: Config,
}

/// The commands besides running the server.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Apply the missing migrations to the database, as the server does when it starts, and print them
    Migrate {
        #[command(flatten)]
        database: DatabaseArgs,
    },

    /// Manage API tokens in the database, for the first administrator and for emergencies
    ///
    /// Servers may run meanwhile. Once there is an administrator, `convene token` does the same through a server.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },

    /// Make certificates
    Tls {
        #[command(subcommand)]
        command: TlsVerb,
    },

    /// Export the whole registry as one JSON document
    ///
    /// The document is a consistent snapshot, even while servers use the database. It contains every token, so keep it
    /// secret.
    Export {
        #[command(flatten)]
        database: DatabaseArgs,

        /// File to write, or - for standard output. The file is replaced atomically, and only its owner can read it
        #[arg(value_name = "FILE", default_value = "-", value_parser = parse_file)]
        to: FileOrStream,
    },

    /// Import an exported registry into an empty database that no server uses
    ///
    /// The command validates the whole document first, and then imports it in one transaction.
    Import {
        #[command(flatten)]
        database: DatabaseArgs,

        /// File to read, or - for standard input
        #[arg(value_name = "FILE", value_parser = parse_file)]
        from: FileOrStream,
    },
}

/// The commands about certificates.
#[derive(Clone, Debug, Subcommand)]
pub enum TlsVerb {
    /// Make a CA, and a certificate of it for this server, for a first set-up
    ///
    /// The certificate is for localhost, 127.0.0.1, ::1, the name of this machine and the given hosts. The command writes ca.crt,
    /// ca.key, server.crt and server.key, never replaces a file, and prints the pin of the CA.
    Init {
        /// Folder of the files; it is made, for this user only, if it is missing
        #[arg(long, env = "CONVENE_TLS_DIR", value_name = "DIR", default_value = "tls")]
        dir: PathBuf,

        /// Further host name or IP address by which nodes reach the server; the flag may be repeated
        #[arg(long = "host", env = "CONVENE_TLS_HOST", value_name = "HOST", value_delimiter = ',')]
        hosts: Vec<String>,
    },
}

/// The flags of the server.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Folder of the secure set-up. The server creates the files that are missing there, and serves TLS
    ///
    /// The folder has a CA and a certificate for the host of --public-url, the database convene.db unless
    /// --database-url is given, the API token of an administrator, the file admin.env, which sets the
    /// variables for administrative commands of `convene`, and the discovery URL and the join token of a first cluster of three. The server prints
    /// how to join that cluster. The next start uses the files that exist, and finishes a set-up that was interrupted.
    #[arg(long, env = "CONVENE_SETUP", value_name = "DIR", conflicts_with_all = ["tls_cert", "tls_key"])]
    pub setup: Option<PathBuf>,

    /// Address to listen on; port 0 selects a free port
    #[arg(long, env = "CONVENE_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:8087", value_parser = parse_listen)]
    pub listen: String,

    /// URL at which etcd nodes reach this server; discovery URLs begin with it [default: http://, or https:// with
    /// --tls-cert, and the host of the request]
    #[arg(long, env = "CONVENE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Further folders of v2 discovery URLs, http://HOST:PORT/v2/keys/FOLDER/TOKEN, besides _etcd/registry, discovery and the
    /// root; the flag may be repeated
    #[arg(long = "v2-folder", env = "CONVENE_V2_FOLDER", value_name = "FOLDER", value_delimiter = ',')]
    pub v2_folders: Vec<Folder>,

    /// Further hosts by which the API, the pages and browsers may reach this server, besides those of --public-url and --listen:
    /// DNS names and IP addresses; the flag may be repeated
    #[arg(long, env = "CONVENE_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<Host>,

    /// Origins whose web pages may use v2 discovery, each https://HOST or https://HOST:PORT; the flag may be repeated
    #[arg(long, env = "CONVENE_V2_CORS", value_name = "ORIGIN", value_delimiter = ',')]
    pub v2_cors: Vec<Origin>,

    #[command(flatten)]
    pub access: AccessArgs,

    #[command(flatten)]
    pub quotas: QuotaArgs,

    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Format of the log on standard error
    #[arg(long, env = "CONVENE_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Largest size that a cluster may have: 1 to 1000
    #[arg(long, env = "CONVENE_MAX_CLUSTER_SIZE", value_name = "N", default_value = "31", value_parser = parse_size)]
    pub max_cluster_size: ClusterSize,

    /// Who may create clusters by /new, v2 and v3: everyone, or administrators only
    #[arg(long, env = "CONVENE_NEW", value_name = "WHO", value_enum, default_value = "open")]
    pub new: NewMode,

    /// Whether v2 and v3 clients may change a cluster after it has formed: refuse or allow. It is the policy stock_writes of the
    /// clusters that they create; elastic-etcd needs allow
    #[arg(long, env = "CONVENE_STOCK_WRITES", value_name = "POLICY", default_value = "refuse")]
    pub stock_writes: StockWrites,

    /// Time after which the server deletes a cluster that no node has registered in: 1s or more, such as 7d
    #[arg(long, env = "CONVENE_UNFORMED_TTL", value_name = "DURATION", default_value = "7d", value_parser = parse_duration)]
    pub unformed_ttl: Duration,

    /// Time after which the server ends a long poll, so that the client repeats it: 1s or more. Must be shorter than
    /// the idle timeout of every proxy in between, which is often 60s
    #[arg(long, env = "CONVENE_WAIT_TIMEOUT", value_name = "DURATION", default_value = "50s", value_parser = parse_duration)]
    pub wait_timeout: Duration,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Who may do what.
#[derive(Clone, Debug, Args)]
pub struct AccessArgs {
    /// Whether administration needs credentials. With off, everybody who can reach the server is an administrator
    #[arg(long, env = "CONVENE_AUTH", value_name = "MODE", value_enum, default_value = "on")]
    pub auth: AuthMode,

    /// Allow --auth off on an address that other machines reach
    #[arg(long, env = "CONVENE_ALLOW_UNAUTHENTICATED")]
    pub allow_unauthenticated: bool,

    /// Give the holders of client certificates a role: ROLE=CN:NAME or ROLE=DNS:NAME, such as operator=CN:ops. The roles are
    /// reader, operator and admin. The flag may be repeated; the first rule that matches decides
    #[arg(
        long = "client-certificate-role",
        env = "CONVENE_CLIENT_CERTIFICATE_ROLE",
        value_name = "RULE",
        value_delimiter = ','
    )]
    pub certificate_rules: Vec<CertificateRule>,
}

/// Which database to use, and how.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// Database: sqlite:PATH for one server, or postgres://USER:PASSWORD@HOST:PORT/DATABASE for any number of servers [default:
    /// sqlite:convene.db, or that file in the folder of --setup]
    #[arg(long, env = "CONVENE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,

    /// Maximum number of connections to PostgreSQL: 3 to 1000
    #[arg(long, env = "CONVENE_DATABASE_POOL_SIZE", value_name = "N", default_value = "8", value_parser = parse_pool_size)]
    pub database_pool_size: u32,

    /// Time after which PostgreSQL cancels a statement: 1s or more
    #[arg(
        long,
        env = "CONVENE_DATABASE_STATEMENT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = parse_duration
    )]
    pub database_statement_timeout: Duration,

    /// Time that a request may wait for a connection to PostgreSQL, for example while PostgreSQL restarts: 1s or more
    #[arg(
        long,
        env = "CONVENE_DATABASE_ACQUIRE_TIMEOUT",
        value_name = "DURATION",
        default_value = "3s",
        value_parser = parse_duration
    )]
    pub database_acquire_timeout: Duration,
}

impl Config {
    /// After which time which clusters are deleted.
    pub fn abandoned_ttls(&self) -> Vec<(Abandoned, Duration)> {
        let always = [(Abandoned::Unregistered, self.unformed_ttl), (Abandoned::Forming, self.quotas.forming_ttl)];
        always.into_iter().chain(self.quotas.unseen_ttl.map(|ttl| (Abandoned::Unseen, ttl))).collect()
    }
}

/// The database of a command that names none.
static DEFAULT_DATABASE: LazyLock<DatabaseUrl> = LazyLock::new(|| DatabaseUrl::Sqlite("convene.db".into()));

impl DatabaseArgs {
    /// The database.
    pub fn url(&self) -> &DatabaseUrl {
        self.database_url.as_ref().unwrap_or(&DEFAULT_DATABASE)
    }

    /// The limits on the use of PostgreSQL.
    pub fn limits(&self) -> DatabaseLimits {
        DatabaseLimits {
            pool_size: self.database_pool_size,
            statement_timeout: self.database_statement_timeout,
            acquire_timeout: self.database_acquire_timeout,
        }
    }
}

/// A file, or `-`: the standard stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOrStream {
    File(PathBuf),
    Stream,
}

impl fmt::Display for FileOrStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stream => f.write_str("the standard stream"),
        }
    }
}

/// The base of discovery URLs: http or https, a host, an optional path, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The error for a text that is not a [`PublicUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("must be http:// or https:// with a host, such as https://discovery.example.com, without query or fragment")]
pub struct PublicUrlError;

impl PublicUrl {
    /// The URL at which this machine reaches the server: that of the loopback address if the server listens on all
    /// addresses.
    pub fn of(scheme: &str, listening: SocketAddr) -> Self {
        let mut reached = listening;
        if listening.ip().is_unspecified() {
            reached.set_ip(match listening {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self(format!("{scheme}://{reached}"))
    }

    /// Whether clients use TLS.
    pub fn is_https(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.scheme() == "https")
    }

    /// The URL without its path.
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map_or_else(|_| self.0.clone(), |url| url.origin().ascii_serialization())
    }

    /// The URL's host.
    pub fn host(&self) -> Option<Host> {
        Url::parse(&self.0).ok()?.host_str()?.parse().ok()
    }

    /// The URL's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_| PublicUrlError)?;
        let web = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !web || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

fn parse_file(text: &str) -> Result<FileOrStream, String> {
    match text {
        "-" => Ok(FileOrStream::Stream),
        "" => Err("must be a file, or - for the standard stream".to_owned()),
        // A database URL may contain a password, which would become the name of a file.
        url if url.contains("://") => Err("must be a file; use --database-url for a database".to_owned()),
        path => Ok(FileOrStream::File(path.into())),
    }
}

fn parse_listen(text: &str) -> Result<String, String> {
    let right = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if right { Ok(text.to_owned()) } else { Err("must be HOST:PORT, such as 127.0.0.1:8087 or [::]:8087".to_owned()) }
}

fn parse_size(text: &str) -> Result<ClusterSize, String> {
    const LARGEST: ClusterSize = ClusterSize::new(1000).unwrap();
    ClusterSize::parse(text, LARGEST).map_err(|_| "must be a whole number from 1 to 1000".to_owned())
}

fn parse_pool_size(text: &str) -> Result<u32, String> {
    const LARGEST: u32 = 1000;
    let size = text.parse().ok().filter(|size| (DatabaseLimits::MIN_POOL_SIZE..=LARGEST).contains(size));
    size.ok_or_else(|| format!("must be a whole number from {} to {LARGEST}", DatabaseLimits::MIN_POOL_SIZE))
}

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| *duration >= Duration::from_secs(1));
    duration.ok_or_else(|| "must be a duration of at least 1s, such as 50s, 12h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use convene_harness::Section;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_describes_the_command_line_as_it_is() {
        convene_harness::cli_reference::check(Cli::command());
    }

    #[test]
    fn the_reference_of_limits_has_every_number_size_and_time() {
        let sections = [
            "Server: connections and memory",
            "Server: requests and new clusters",
            "Server: database",
            "Server: requests",
        ];
        convene_harness::limits::check([&Cli::command()], &["N", "BYTES", "SIZE", "DURATION"], &sections);
    }

    #[test]
    fn the_reference_of_exit_codes_has_every_command() {
        let names = Cli::command()
            .get_subcommands()
            .flat_map(|command| {
                let name = command.get_name().to_owned();
                let inner: Vec<_> =
                    command.get_subcommands().map(|inner| format!("{name} {}", inner.get_name())).collect();
                if inner.is_empty() { vec![name] } else { inner }
            })
            .collect();
        assert_eq!(Section::read("docs/reference/exit-codes.md", "convene-server").names("command"), names);
    }

    #[test]
    fn the_reference_has_every_exit_code() {
        let wrong_usage = Cli::try_parse_from(["convene-server", "--no-such-flag"]).unwrap_err().exit_code();
        let page = Section::read("docs/reference/exit-codes.md", "At a glance");
        let rows = page.rows("code");
        let listed: Vec<i32> =
            rows.iter().filter(|row| !row[2].is_empty()).filter_map(|row| row[0].parse().ok()).collect();
        // A defect ends a Rust program with 101.
        assert_eq!(listed, [0, 1, wrong_usage, 101]);
    }

    #[test]
    fn a_server_on_every_address_is_reached_on_loopback() {
        for (listening, url) in [
            ("127.0.0.1:8087", "http://127.0.0.1:8087"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:8087", "http://[::1]:8087"),
        ] {
            assert_eq!(PublicUrl::of("http", listening.parse().unwrap()).as_str(), url);
        }
    }

    #[test]
    fn a_public_url_ends_without_slash() {
        assert_eq!("https://d.example.com/etcd/".parse(), Ok(PublicUrl("https://d.example.com/etcd".into())));
        let with_path: PublicUrl = "https://d.example.com:8443/etcd".parse().unwrap();
        assert_eq!(with_path.origin(), "https://d.example.com:8443");
        for text in ["", "d.example.com", "ftp://d.example.com", "http://", "http://d?x=1", "http://d/#x"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError), "{text}");
        }
    }
}
