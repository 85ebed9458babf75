use std::{collections::BTreeMap, time::Duration};

use convene_lifecycle::{ClientUrl, MemberId};

use crate::{EtcdError, Tls, http::HttpClient};

/// The longest response that is read. etcd's has less than 1 MiB.
const MAX_BYTES: usize = 8 << 20;

/// Reads the metrics of etcds at their client URLs: `GET CLIENT_URL/metrics`.
///
/// This needs neither a quorum nor a user. etcd does not serve metrics there if it runs with
/// `--listen-client-http-urls`.
#[derive(Clone, Debug)]
pub struct MetricsClient(HttpClient);

/// What an etcd has heard from its peers since it started.
///
/// Only the leader's counters mean something: followers don't hear from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerMetrics {
    /// The member that the etcd runs as (`etcd_server_id`).
    pub member: Option<MemberId>,
    /// Whether the etcd is the leader (`etcd_server_is_leader`).
    pub is_leader: bool,
    /// When the process started, in milliseconds since 1970 (`process_start_time_seconds`). Two URLs at which this differs lead
    /// to two processes.
    pub started_at: Option<u64>,
    received_bytes: BTreeMap<MemberId, u64>,
    round_trips: BTreeMap<MemberId, RoundTrips>,
    matched: BTreeMap<MemberId, u64>,
}

/// The histogram of the round-trip times to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct RoundTrips {
    count: u64,
    has_time: bool,
}

impl Eq for RoundTrips {}

impl MetricsClient {
    /// Creates a client for any number of client URLs. Those with `http://` are called in clear text.
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        HttpClient::new(tls).map(Self)
    }

    /// What the etcd at this URL has heard from its peers.
    pub async fn peers(&self, url: &ClientUrl, within: Duration) -> Result<PeerMetrics, EtcdError> {
        let get = |path| self.0.get(url.as_str(), path, MAX_BYTES, within);
        // A port of `--listen-metrics-urls` serves metrics only.
        let (answer, variables) = tokio::join!(get("metrics"), get("debug/vars"));
        let metrics = PeerMetrics::parse(&String::from_utf8_lossy(&answer?.body));
        let metrics = metrics.ok_or_else(|| EtcdError::BadAnswer {
            endpoint: url.to_string(),
            reason: "the response has no metrics of etcd".to_owned(),
        })?;
        let matched = variables.ok().and_then(|variables| matched(&variables.body)).unwrap_or_default();
        Ok(PeerMetrics { matched, ..metrics })
    }
}

impl PeerMetrics {
    /// How many bytes of Raft messages came from this member (`etcd_network_peer_received_bytes_total`). A live follower
    /// answers heartbeats, so the number grows by some hundred bytes a second. It stands still while the member is dead,
    /// frozen or cut off.
    pub fn received_bytes(&self, from: MemberId) -> u64 {
        // The counter exists from the first message on (`server/etcdserver/api/rafthttp/metrics.go`).
        self.received_bytes.get(&from).copied().unwrap_or(0)
    }

    /// How many round-trip times to this member's peer URLs were recorded
    /// (`etcd_network_peer_round_trip_time_seconds_count`); 0 if no peer URL was ever reached.
    ///
    /// etcd records a time every 5 to 30 s, whether or not the last probe succeeded, and records 0 s until a probe has
    /// succeeded (`server/etcdserver/api/rafthttp/probing_status.go:monitorProbingStatus`). So the number does not show
    /// whether the member is reached now.
    pub fn round_trips(&self, to: MemberId) -> u64 {
        self.round_trips.get(&to).filter(|times| times.has_time).map_or(0, |times| times.count)
    }

    /// The index up to which the leader knows that this member has its log (`match` in `raft.status` of `/debug/vars`,
    /// `server/etcdserver/raft.go:init`). The member has confirmed each entry up to it. 0 if the member has confirmed none
    /// since this leader was elected. `None` if it is not known.
    pub fn matched(&self, member: MemberId) -> Option<u64> {
        self.matched.get(&member).copied()
    }

    /// Parses the text format of Prometheus. `None` if the text has no metrics of an etcd.
    fn parse(text: &str) -> Option<Self> {
        let mut metrics = Self::default();
        let mut is_etcd = false;
        for sample in text.lines().filter_map(Sample::parse) {
            let peer = |label: &str| sample.label(label)?.parse::<MemberId>().ok();
            match sample.name {
                "etcd_server_is_leader" => {
                    is_etcd = true;
                    metrics.is_leader = sample.value == 1.0;
                }
                "etcd_server_id" => {
                    metrics.member = sample.label("server_id").and_then(|id| id.parse().ok());
                }
                "process_start_time_seconds" => metrics.started_at = Some((sample.value * 1_000.0) as u64),
                "etcd_network_peer_received_bytes_total" => {
                    let Some((from, bytes)) = peer("From").zip(sample.count()) else { continue };
                    metrics.received_bytes.insert(from, bytes);
                }
                "etcd_network_peer_round_trip_time_seconds_count" => {
                    let Some((to, count)) = peer("To").zip(sample.count()) else { continue };
                    metrics.round_trips.entry(to).or_default().count = count;
                }
                "etcd_network_peer_round_trip_time_seconds_sum" => {
                    let Some(to) = peer("To") else { continue };
                    metrics.round_trips.entry(to).or_default().has_time = sample.value > 0.0;
                }
                _ => {}
            }
        }
        is_etcd.then_some(metrics)
    }
}

/// How far the log of each member agrees with the leader's, from `/debug/vars`. `None` if the etcd is not the leader.
fn matched(variables: &[u8]) -> Option<BTreeMap<MemberId, u64>> {
    let variables: serde_json::Value = serde_json::from_slice(variables).ok()?;
    let progress = variables.get("raft.status")?.get("progress")?.as_object()?;
    let of_member = |(id, progress): (&String, &serde_json::Value)| {
        Some((id.parse().ok()?, progress.get("match").and_then(serde_json::Value::as_u64)?))
    };
    Some(progress.iter().filter_map(of_member).collect())
}

/// A line `NAME{LABEL="VALUE",…} NUMBER`, without the timestamp that may follow.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    /// Parses a line; `None` if it is a comment, or is not in the format.
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let end_of_name = line.find(['{', ' ', '\t'])?;
        let (name, rest) = line.split_at(end_of_name);
        if name.is_empty() || name.starts_with('#') {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            // None of the labels that we read has a brace in its value, and a number has none.
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }

    /// The value of a label. Member IDs need no escapes.
    fn label(&self, name: &str) -> Option<&'a str> {
        self.labels.split(',').find_map(|label| {
            let (found, value) = label.split_once('=')?;
            if found.trim() == name { value.trim().strip_prefix('"')?.strip_suffix('"') } else { None }
        })
    }

    /// The value, if it is a whole number that a float holds exactly.
    fn count(&self) -> Option<u64> {
        const MAX_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
        let is_exact = (0.0..=MAX_EXACT).contains(&self.value) && self.value.fract() == 0.0;
        is_exact.then_some(self.value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberId = MemberId(0x8e9e_05c5_2164_694d);
    const B: MemberId = MemberId(0xb1);

    #[test]
    fn the_samples_are_found_among_others() {
        let metrics = PeerMetrics::parse(
            "# HELP etcd_server_is_leader Whether or not this member is a leader. 1 if is, 0 otherwise.\n\
             # TYPE etcd_server_is_leader gauge\n\
             etcd_server_is_leader 1\n\
             process_start_time_seconds 1.79570581528e+09\n\
             etcd_server_id{server_id=\"b1\"} 1\n\
             etcd_network_peer_received_bytes_total{From=\"0\"} 7\n\
             etcd_network_peer_received_bytes_total{From=\"8e9e05c52164694d\"} 1.234567e+06\n\
             etcd_network_peer_received_bytes_total{From=\"b1\",Cluster=\"x\"} 42 1395066363000\n\
             etcd_network_peer_received_bytes_total_of_another{From=\"b1\"} 1\n\
             etcd_network_peer_round_trip_time_seconds_bucket{To=\"b1\",le=\"0.0001\"} 4\n\
             etcd_network_peer_round_trip_time_seconds_count{To=\"b1\"} 4\n\
             etcd_network_peer_round_trip_time_seconds_sum{To=\"b1\"} 0\n\
             etcd_network_peer_round_trip_time_seconds_sum{To=\"8e9e05c52164694d\"} 1.2e-05\n\
             etcd_network_peer_round_trip_time_seconds_count{To=\"8e9e05c52164694d\"} 3\n",
        );
        let metrics = metrics.unwrap();
        assert!(metrics.is_leader);
        assert_eq!((metrics.member, metrics.started_at), (Some(B), Some(1_795_705_815_280)));
        assert_eq!((metrics.received_bytes(A), metrics.received_bytes(B)), (1_234_567, 42));
        assert_eq!(metrics.received_bytes(MemberId(0xc1)), 0, "it was never heard");
        assert_eq!((metrics.round_trips(A), metrics.round_trips(B)), (3, 0), "only one was ever reached");
    }

    #[test]
    fn damaged_lines_are_ignored() {
        let metrics = PeerMetrics::parse(
            "etcd_server_is_leader 0\n\
             etcd_network_peer_received_bytes_total{From=\"b1\"} NaN\n\
             etcd_network_peer_received_bytes_total{From=\"b1\"} -1\n\
             etcd_network_peer_received_bytes_total{From=\"b1\"} 1.5\n\
             etcd_network_peer_received_bytes_total{From=\"b1\"} 1e300\n\
             etcd_network_peer_received_bytes_total{From=\"b1\"}\n\
             etcd_network_peer_received_bytes_total{From=\"xyz\"} 1\n\
             etcd_network_peer_received_bytes_total{From=b1} 1\n\
             etcd_network_peer_received_bytes_total 1\n\
             etcd_network_peer_received_bytes_total{From=\"b1\" 1\n",
        );
        assert_eq!(metrics, Some(PeerMetrics::default()));
    }

    #[test]
    fn another_text_has_no_metrics_of_an_etcd() {
        for text in ["", "<html>", "etcd_network_peer_received_bytes_total{From=\"b1\"} 1\n"] {
            assert_eq!(PeerMetrics::parse(text), None, "{text:?}");
        }
    }
}
