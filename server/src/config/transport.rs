use std::path::PathBuf;

use clap::Args;

/// How the server speaks TLS.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate of the server with its chain, as PEM. With it, the server speaks TLS only: https:// instead of http://.
    /// The server reads it, the key and the CA again when a file changes, and on SIGHUP
    #[arg(long, env = "CONVENE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the server's certificate, as PEM
    #[arg(long, env = "CONVENE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// CAs of client certificates, as PEM. A client that shows a certificate must have one of these; a client may show none
    #[arg(long, env = "CONVENE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}
