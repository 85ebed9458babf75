use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

use super::{limits::Limits, network::Network};
use crate::rates::AddressRate;

/// How many requests the clients of an address may reset before they are answered, at once and each second. A client that ends
/// many watches does so after their answers have begun; one that exceeds this uses the server without waiting for it.
const BURST: u32 = 512;
const EACH_SECOND: u32 = 64;

/// A request that is reset later than this was no attempt to get many begun: each of them counts for the rate of requests, and
/// clients may give up a server that is slow.
const RAPID: Duration = Duration::from_secs(1);

/// What clients have reset. It outlives their connections: otherwise the next connection could begin where the last one ended.
#[derive(Debug)]
pub struct Resets {
    rate: AddressRate,
    /// One line of the log for an address a minute.
    lines: AddressRate,
    /// Connections that were closed, or not accepted.
    pub cut: Counter,
}

impl Default for Resets {
    fn default() -> Self {
        let rate = |count, seconds, burst| {
            AddressRate::new(count, Duration::from_secs(seconds), burst).expect("the rate is more than 0")
        };
        Self { rate: rate(EACH_SECOND, 1, BURST), lines: rate(1, 60, 1), cut: Counter::default() }
    }
}

impl Resets {
    /// Refuses a connection of an address that has reset so much that it has to wait, for a few seconds. Returns whether it is
    /// refused.
    pub fn refuse(&self, network: Network) -> bool {
        let refused = self.rate.is_exceeded(network);
        if refused {
            self.cut.inc();
        }
        refused
    }

    /// Notes that a connection of an address is closed.
    fn cut_off(&self, network: Network) {
        self.cut.inc();
        if self.lines.allows(network) {
            tracing::warn!(
                address = %network,
                "closed a connection, because its client has reset too many requests before they were answered; new connections of this \
                 address are closed for a few seconds"
            );
        }
    }
}

/// The requests of one connection that its client has reset before they were answered.
pub struct ConnectionResets {
    limits: Arc<Limits>,
    /// `None` for a trusted proxy, which passes on what its clients do.
    network: Option<Network>,
    /// Cancelled when there are too many, to close the connection.
    pub too_many: CancellationToken,
}

/// A request that is being answered. It counts as reset if this is dropped early, and before [`Unanswered::end`].
pub struct Unanswered {
    begun: Instant,
    /// `None` once it is answered.
    resets: Option<Arc<ConnectionResets>>,
}

impl ConnectionResets {
    /// None yet.
    pub fn new(limits: Arc<Limits>, network: Option<Network>) -> Self {
        Self { limits, network, too_many: CancellationToken::new() }
    }

    /// A request that begins.
    pub fn unanswered(self: &Arc<Self>) -> Unanswered {
        Unanswered { begun: Instant::now(), resets: Some(self.clone()) }
    }

    fn count(&self) {
        if let Some(network) = self.network
            && !self.limits.resets.rate.count(network)
            && !self.too_many.is_cancelled()
        {
            self.too_many.cancel();
            self.limits.resets.cut_off(network);
        }
    }
}

impl Unanswered {
    /// The request is answered.
    pub fn end(mut self) {
        self.resets = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(resets) = &self.resets
            && self.begun.elapsed() < RAPID
        {
            resets.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::LimitArgs;

    fn connection(limits: &Arc<Limits>, address: [u8; 4]) -> Arc<ConnectionResets> {
        Arc::new(ConnectionResets::new(limits.clone(), Some(IpAddr::from(address).into())))
    }

    #[test]
    fn what_a_client_resets_counts_for_its_address_and_what_is_answered_does_not() {
        let limits = Arc::new(Limits::new(&LimitArgs::default(), u64::MAX));
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]];
        let first = connection(&limits, one);
        (0..1_000).for_each(|_| first.unanswered().end());
        (0..400).for_each(|_| drop(first.unanswered()));
        assert!(!first.too_many.is_cancelled());
        drop(first);
        let second = connection(&limits, one);
        (0..400).for_each(|_| drop(second.unanswered()));
        assert!(second.too_many.is_cancelled() && limits.resets.refuse(IpAddr::from(one).into()));
        assert_eq!(limits.resets.cut.get(), 2);
        assert!(!limits.resets.lines.allows(IpAddr::from(one).into()), "the line of this minute is written");
        let stranger = connection(&limits, other);
        (0..400).for_each(|_| drop(stranger.unanswered()));
        assert!(!stranger.too_many.is_cancelled() && !limits.resets.refuse(IpAddr::from(other).into()));
    }

    #[test]
    fn a_client_that_gives_up_a_slow_server_counts_for_nothing() {
        let limits = Arc::new(Limits::new(&LimitArgs::default(), u64::MAX));
        let connection = connection(&limits, [10, 0, 0, 1]);
        let begun = Instant::now().checked_sub(RAPID).unwrap();
        (0..2_000).for_each(|_| drop(Unanswered { begun, resets: Some(connection.clone()) }));
        assert!(!connection.too_many.is_cancelled());
    }
}
