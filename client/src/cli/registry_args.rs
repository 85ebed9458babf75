use std::{path::PathBuf, str::FromStr};

use clap::{Args, builder::BoolishValueParser};

use crate::{
    admin_token::AdminToken,
    discovery_url::{DiscoveryUrl, ServerUrl},
    secret_file,
};

const REGISTRY: &str = "Registry";
const REGISTRY_TLS: &str = "TLS to the registry";

/// The cluster of a node.
#[derive(Debug, Args)]
pub struct DiscoveryArgs {
    /// Discovery URL of the cluster, https://HOST:PORT/TOKEN or, with the pin of the server's CA, https://HOST:PORT/TOKEN#sha256:…
    ///
    /// The URL is a secret. Prefer --discovery-file or the variable, because `ps` shows flags to everyone.
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "discovery_file",
        env = "CONVENE_DISCOVERY",
        hide_env_values = true
    )]
    discovery: Option<DiscoveryUrl>,
    /// File with the discovery URL of the cluster. It has precedence over --discovery
    #[arg(long, value_name = "PATH", env = "CONVENE_DISCOVERY_FILE")]
    discovery_file: Option<DiscoveryFile>,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
}

/// The server of an administrator's command, and the default cluster.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// URL of the Convene server, https://HOST:PORT. Not needed if CLUSTER is a discovery URL [default: that of --discovery]
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_SERVER", hide_env_values = true)]
    pub server: Option<ServerUrl>,
    /// Discovery URL of the default cluster, https://HOST:PORT/TOKEN
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_DISCOVERY", hide_env_values = true)]
    discovery: Option<DiscoveryUrl>,
    /// File with the discovery URL of the default cluster. It has precedence over --discovery
    #[arg(long, help_heading = REGISTRY, value_name = "PATH", env = "CONVENE_DISCOVERY_FILE")]
    discovery_file: Option<DiscoveryFile>,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
    /// File with the API token of an administrator or operator, or of a reader for commands that only read
    ///
    /// The token is sent over https only, or to a loopback address.
    #[arg(long, help_heading = REGISTRY, value_name = "PATH", env = "CONVENE_ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<AdminToken>,
}

/// TLS for the connection to the registry.
#[derive(Debug, Args)]
pub struct RegistryTlsArgs {
    /// Allow http:// to a registry on another machine
    ///
    /// Anybody on the network path can then read the cluster's token, and instruct this node.
    #[arg(long, help_heading = REGISTRY_TLS, value_parser = BoolishValueParser::new(), env = "CONVENE_INSECURE_DISCOVERY")]
    pub insecure_discovery: bool,
    /// CA certificate for the registry; a pin in the URL has precedence [default: the CAs of the system]
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", env = "CONVENE_DISCOVERY_CACERT")]
    pub discovery_cacert: Option<PathBuf>,
    /// Client certificate for the registry
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", requires = "discovery_key", env = "CONVENE_DISCOVERY_CERT")]
    pub discovery_cert: Option<PathBuf>,
    /// Key of --discovery-cert
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", requires = "discovery_cert", env = "CONVENE_DISCOVERY_KEY")]
    pub discovery_key: Option<PathBuf>,
}

/// A file with a discovery URL.
#[derive(Clone, Debug)]
struct DiscoveryFile(DiscoveryUrl);

impl FromStr for DiscoveryFile {
    type Err = String;

    /// Reads the file. An error does not repeat its contents.
    fn from_str(path: &str) -> Result<Self, String> {
        secret_file::read(path)?.parse().map(Self).map_err(|error| format!("the discovery URL in it {error}"))
    }
}

impl DiscoveryArgs {
    /// The discovery URL.
    pub fn url(&self) -> &DiscoveryUrl {
        let of_file = self.discovery_file.as_ref().map(|file| &file.0);
        of_file.or(self.discovery.as_ref()).expect("clap requires one of both")
    }
}

impl ServerArgs {
    /// The discovery URL of the default cluster.
    pub fn discovery(&self) -> Option<&DiscoveryUrl> {
        self.discovery_file.as_ref().map(|file| &file.0).or(self.discovery.as_ref())
    }
}
