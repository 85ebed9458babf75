use std::time::Duration;

use clap::Args;

use super::parse_duration;
use crate::registry::QuotaLimits;

/// How much clients may ask for, and how much the registry may hold.
#[derive(Clone, Debug, Args)]
pub struct QuotaArgs {
    /// Requests a second of one address, or of one /64 of IPv6; a client may save up five seconds' worth. 0: no limit
    #[arg(long, env = "CONVENE_MAX_REQUESTS_PER_SECOND", value_name = "N", default_value_t = 200)]
    pub max_requests_per_second: u32,

    /// Requests a second of all clients together. 0: no limit
    #[arg(long, env = "CONVENE_MAX_TOTAL_REQUESTS_PER_SECOND", value_name = "N", default_value_t = 20_000)]
    pub max_total_requests_per_second: u32,

    /// Clusters an hour that one address may create by /new, v2 or v3. 0: no limit
    #[arg(long, env = "CONVENE_MAX_NEW_PER_HOUR", value_name = "N", default_value_t = 1000)]
    pub max_new_per_hour: u32,

    /// Clusters in all
    #[arg(long, env = "CONVENE_MAX_CLUSTERS", value_name = "N", default_value_t = 100_000)]
    pub max_clusters: u64,

    /// Clusters that one address may have created by /new, v2 or v3 in the last 30 days. Deleted clusters do not count, nor do those from
    /// before the start of the server. 0: no limit
    #[arg(long, env = "CONVENE_MAX_CLUSTERS_PER_ADDRESS", value_name = "N", default_value_t = 1000)]
    pub max_clusters_per_address: u64,

    /// Bytes of one cluster in the database, such as 1MiB; its members may have half of them, and its history a quarter, with the last
    /// 1,000 changes at most
    #[arg(long, env = "CONVENE_MAX_CLUSTER_BYTES", value_name = "BYTES", default_value = "1MiB", value_parser = parse_bytes)]
    pub max_cluster_bytes: u64,

    /// Bytes of the database, such as 2GiB. The last fifth is for clusters that exist. When it is used up, only
    /// members of clusters that were seen to exist can be replaced
    #[arg(long, env = "CONVENE_MAX_DATABASE_BYTES", value_name = "BYTES", default_value = "2GiB", value_parser = parse_bytes)]
    pub max_database_bytes: u64,

    /// Time after which the server deletes a cluster that nodes have registered in, but that has not formed: 1s or more
    #[arg(long, env = "CONVENE_FORMING_TTL", value_name = "DURATION", default_value = "30d", value_parser = parse_duration)]
    pub forming_ttl: Duration,

    /// Time without a change after which the server deletes a cluster that has formed, but that no `convene` has
    /// reported: 1s or more. Its token stays used. For servers that strangers reach with --new open [default: never]
    #[arg(long, env = "CONVENE_UNSEEN_TTL", value_name = "DURATION", value_parser = parse_duration)]
    pub unseen_ttl: Option<Duration>,
}

impl QuotaArgs {
    /// What the registry may hold.
    pub fn quota(&self) -> QuotaLimits {
        let of_address = self.max_clusters_per_address;
        QuotaLimits {
            clusters: self.max_clusters,
            clusters_per_address: if of_address == 0 { u64::MAX } else { of_address },
            cluster_bytes: self.max_cluster_bytes,
            database_bytes: self.max_database_bytes,
        }
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = UNITS.into_iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    let bytes = number.trim_end().parse::<u64>().ok().filter(|number| *number > 0);
    let bytes = bytes.and_then(|number| number.checked_mul(1 << bits));
    bytes.ok_or_else(|| "must be a number of bytes above 0, such as 65536, 512KiB, 1MiB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, bytes) in [("1", 1), ("64KiB", 64 << 10), ("1 MiB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
