use std::path::PathBuf;

use clap::Args;

use crate::discovery_url::{DiscoveryUrl, ServerUrl};

const REGISTRY: &str = "Registry";
const REGISTRY_TLS: &str = "TLS to the registry";

/// The cluster of a node.
#[derive(Debug, Args)]
pub struct DiscoveryArgs {
    /// Discovery URL of the cluster, http://HOST:PORT/TOKEN
    ///
    /// The URL is a secret. Prefer the variable, because `ps` shows flags to everyone.
    #[arg(long, value_name = "URL", env = "CONVENE_DISCOVERY", hide_env_values = true)]
    pub discovery: DiscoveryUrl,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
}

/// The server of an administrator's command, and the default cluster.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// URL of the Convene server, http://HOST:PORT; needed if CLUSTER is a name or token [default: that of --discovery]
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_SERVER", hide_env_values = true)]
    pub server: Option<ServerUrl>,
    /// Discovery URL of the default cluster, http://HOST:PORT/TOKEN
    #[arg(long, help_heading = REGISTRY, value_name = "URL", env = "CONVENE_DISCOVERY", hide_env_values = true)]
    pub discovery: Option<DiscoveryUrl>,
    #[command(flatten)]
    pub tls: RegistryTlsArgs,
}

/// TLS for the connection to the registry.
#[derive(Debug, Args)]
pub struct RegistryTlsArgs {
    /// CA certificate for the registry [default: the CAs of the system]
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", env = "CONVENE_DISCOVERY_CACERT")]
    pub discovery_cacert: Option<PathBuf>,
    /// Client certificate for the registry
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", requires = "discovery_key", env = "CONVENE_DISCOVERY_CERT")]
    pub discovery_cert: Option<PathBuf>,
    /// Key of --discovery-cert
    #[arg(long, help_heading = REGISTRY_TLS, value_name = "PATH", requires = "discovery_cert", env = "CONVENE_DISCOVERY_KEY")]
    pub discovery_key: Option<PathBuf>,
}
