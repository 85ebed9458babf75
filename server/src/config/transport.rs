use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use ipnet::IpNet;

use super::parse_duration;

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

    /// CAs of client certificates, as PEM. A certificate that a client shows must be from one of them; a client
    /// may also show no certificate
    #[arg(long, env = "CONVENE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}

/// How much clients may hold.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits of clients")]
pub struct LimitArgs {
    /// Maximum number of open connections. A further connection gets one response: 503, or the real one for /livez and
    /// /readyz
    #[arg(long, env = "CONVENE_MAX_CONNECTIONS", value_name = "N", default_value = "10000", value_parser = parse_count)]
    pub max_connections: usize,

    /// Maximum number of open connections of one client address (IPv6: of one /64)
    #[arg(
        long,
        env = "CONVENE_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value = "1000",
        value_parser = parse_count
    )]
    pub max_connections_per_address: usize,

    /// Maximum number of HTTP/2 requests that one connection may have open at a time
    #[arg(
        long,
        env = "CONVENE_MAX_STREAMS",
        value_name = "N",
        default_value = "2048",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_streams: u32,

    /// Maximum number of open long polls, watches, event streams and held check-ins
    #[arg(long, env = "CONVENE_MAX_WAITS", value_name = "N", default_value = "20000", value_parser = parse_count)]
    pub max_waits: usize,

    /// Maximum number of open long polls, watches, event streams and held check-ins of one client address (IPv6: of one
    /// /64)
    #[arg(long, env = "CONVENE_MAX_WAITS_PER_ADDRESS", value_name = "N", default_value = "2000", value_parser = parse_count)]
    pub max_waits_per_address: usize,

    /// Maximum memory for requests that are being answered and for answers that clients have not read, such as 128MiB;
    /// a quarter of it for one client address
    #[arg(long, env = "CONVENE_MAX_QUEUED", value_name = "SIZE", default_value = "128MiB", value_parser = parse_size)]
    pub max_queued: usize,

    /// The same for one connection
    #[arg(
        long,
        env = "CONVENE_MAX_QUEUED_PER_CONNECTION",
        value_name = "SIZE",
        default_value = "8MiB",
        value_parser = parse_size
    )]
    pub max_queued_per_connection: usize,

    /// Time without progress after which the server gives up on a client that does not read: 1s or more
    #[arg(long, env = "CONVENE_WRITE_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub write_timeout: Duration,

    /// Proxies in front of this server, as networks (10.0.0.0/8) or addresses. The server accepts a client's address
    /// (X-Forwarded-For, Forwarded, PROXY protocol) only from these. List only proxies that set one of the three
    /// themselves
    #[arg(long, env = "CONVENE_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,
}

#[cfg(any(test, fuzzing))]
impl Default for LimitArgs {
    fn default() -> Self {
        use clap::FromArgMatches;
        let matches = Self::augment_args(clap::Command::new("test")).get_matches_from(["test"]);
        Self::from_arg_matches(&matches).expect("every flag has a default")
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or_else(|| "must be a whole number from 1 to 10000000".to_owned())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let size = units.into_iter().find_map(|(unit, shift)| {
        let number: usize = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift)
    });
    let size = size.filter(|size| (1 << 20..=1 << 40).contains(size));
    size.ok_or_else(|| "must be a size of at least 1MiB, such as 512MiB or 1GiB".to_owned())
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| "must be a network or an address, such as 10.0.0.0/8 or 2001:db8::1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!((parse_size("1MiB"), parse_size("2 GiB")), (Ok(1 << 20), Ok(2 << 30)));
        for text in ["", "1", "1MB", "1KiB", "-1MiB", "MiB", "99999999999999999999GiB", "2048GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_a_network_or_an_address() {
        assert_eq!(parse_network("10.1.2.3"), parse_network("10.1.2.3/32"));
        assert!(parse_network("10.0.0.0/33").is_err() && parse_network("proxy.example.com").is_err());
    }
}
