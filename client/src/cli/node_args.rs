use std::{path::PathBuf, str::FromStr};

use clap::{Args, builder::BoolishValueParser};
use convene_etcd::User;
use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};

use super::DiscoveryArgs;

const ETCD_ACCESS: &str = "TLS, user and metrics of etcd";

/// The settings of a node. Most of them are also etcd's.
#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
    /// Name of this node (--name of etcd)
    #[arg(long, env = "CONVENE_NAME")]
    pub name: MemberName,
    /// File with a join token, which this node sends until the registry has admitted it (or CONVENE_JOIN_TOKEN with the token
    /// itself)
    ///
    /// `convene cluster create` and `convene cluster join-token create` make join tokens. The file may be removed once the node
    /// has joined.
    #[arg(long, value_name = "FILE", env = "CONVENE_JOIN_TOKEN_FILE")]
    pub join_token_file: Option<PathBuf>,
    /// File for the credential of this node, which the node creates [default: in the directory of `convene` next to the
    /// data directory]
    ///
    /// A credential next to the data is lost with the disk, and the node then needs a new join token. A file on another
    /// disk avoids that.
    #[arg(long, value_name = "FILE", env = "CONVENE_CREDENTIAL_FILE")]
    pub credential_file: Option<PathBuf>,
    /// Data directory of etcd (--data-dir) [default: NAME.etcd]
    #[arg(long, value_name = "PATH", env = "CONVENE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// WAL directory of etcd (--wal-dir) [default: in the data directory]
    #[arg(long, value_name = "PATH", env = "CONVENE_WAL_DIR")]
    pub wal_dir: Option<PathBuf>,
    /// Peer URLs of this node (--initial-advertise-peer-urls of etcd) [default: for an existing member, its
    /// registered peer URLs; otherwise http://localhost:2380]
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = trimmed::<PeerUrl>,
        env = "CONVENE_INITIAL_ADVERTISE_PEER_URLS"
    )]
    pub initial_advertise_peer_urls: Vec<PeerUrl>,
    /// Client URLs of this node (--advertise-client-urls of etcd)
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = trimmed::<ClientUrl>,
        env = "CONVENE_ADVERTISE_CLIENT_URLS"
    )]
    pub advertise_client_urls: Vec<ClientUrl>,
    /// Client port to assume for members whose client URLs are unknown
    #[arg(long, value_name = "PORT", default_value = "2379", value_parser = clap::value_parser!(u16).range(1..), env = "CONVENE_CLIENT_PORT")]
    pub client_port: u16,
    #[command(flatten)]
    pub access: AccessArgs,
}

impl NodeArgs {
    /// The node and its cluster, for the log.
    pub fn subject(&self) -> String {
        format!("{} in {}", self.name, self.discovery.url().token)
    }
}

// A `next_help_heading` would also apply to the flags after this group, so each flag names its heading.
/// TLS, the user and the metrics ports for connections to etcd.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// CA certificate for the client ports of etcd. With it, client URLs with http:// are not called [default: the CAs of the
    /// system]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", env = "CONVENE_CACERT")]
    pub cacert: Option<PathBuf>,
    /// Client certificate for the client ports of etcd
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", requires = "key", env = "CONVENE_CERT")]
    pub cert: Option<PathBuf>,
    /// Key of --cert
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", requires = "cert", env = "CONVENE_KEY")]
    pub key: Option<PathBuf>,
    /// User with the role root, if auth is on in etcd
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "NAME:PASSWORD", value_parser = user, env = "CONVENE_USER", hide_env_values = true)]
    pub user: Option<User>,
    /// Send the password also to etcd nodes that `convene` could not verify
    ///
    /// By default, `convene` sends it only to etcd nodes with a certificate of --cacert for the host of their URL, and
    /// to this node's own etcd (--advertise-client-urls), over TLS or at a loopback address. Other URLs come from the
    /// registry and from other nodes.
    #[arg(long, help_heading = ETCD_ACCESS, value_parser = BoolishValueParser::new(), env = "CONVENE_INSECURE_ETCD_CREDENTIALS")]
    pub insecure_etcd_credentials: bool,
    /// CA certificate for the peer ports of etcd. With it, peer URLs with http:// are not called [default: that of --cacert]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", alias = "peer-cacert", env = "CONVENE_PEER_TRUSTED_CA_FILE")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// Client certificate for the peer ports of etcd [default: that of --cert]
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", alias = "peer-cert", requires = "peer_key_file", env = "CONVENE_PEER_CERT_FILE")]
    pub peer_cert_file: Option<PathBuf>,
    /// Key of --peer-cert-file
    #[arg(long, help_heading = ETCD_ACCESS, value_name = "PATH", alias = "peer-key", requires = "peer_cert_file", env = "CONVENE_PEER_KEY_FILE")]
    pub peer_key_file: Option<PathBuf>,
    /// Metrics URLs of etcd (--listen-metrics-urls of etcd). Their ports are also tried on the hosts of the other members
    /// [default: the client ports]
    #[arg(
        long,
        help_heading = ETCD_ACCESS,
        value_name = "URLS",
        value_delimiter = ',',
        value_parser = trimmed::<ClientUrl>,
        env = "CONVENE_LISTEN_METRICS_URLS"
    )]
    pub listen_metrics_urls: Vec<ClientUrl>,
}

/// An item of a list. etcd also allows spaces around it (`pkg/types/urls.go:NewURLs`).
pub fn trimmed<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}

fn user(text: &str) -> Result<User, &'static str> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok(User { name: name.to_owned(), password: password.to_owned() }),
        _ => Err("must be NAME:PASSWORD"),
    }
}
