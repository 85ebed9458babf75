//! How many requests the clients may make: each address, and all together.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use tonic::Status;

use crate::{
    api::{Kind, Problem},
    app::App,
    connection::{ClientAddress, Network},
    v3::is_grpc,
};

/// How many addresses are told apart. Each takes 8 bytes, and two that fall together share their limit.
const ADDRESSES: usize = 1 << 16;

/// For how many seconds' requests a client may have saved up.
const BURST_SECONDS: u32 = 5;

/// The limits on requests.
#[derive(Debug)]
pub struct Rates {
    requests: Option<AddressRate>,
    all_requests: Option<Rate>,
    new: Option<AddressRate>,
}

/// The client has to wait so long for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFast(pub Duration);

impl TooFast {
    /// In whole seconds, for `Retry-After`: at least 1.
    pub fn seconds(self) -> u64 {
        self.0.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
    }
}

impl Rates {
    /// So many requests a second of an address and of all, and so many new clusters an hour of an address. 0 is no limit.
    pub fn new(requests: u32, all_requests: u32, new_per_hour: u32) -> Self {
        let second = Duration::from_secs(1);
        Self {
            requests: AddressRate::new(requests, second, requests.saturating_mul(BURST_SECONDS)),
            all_requests: Rate::new(all_requests, second, all_requests),
            new: AddressRate::new(new_per_hour, Duration::from_secs(3600), new_per_hour),
        }
    }

    /// Counts a request, or refuses it.
    pub fn request(&self, client: IpAddr) -> Result<(), TooFast> {
        self.requests.as_ref().map_or(Ok(()), |rate| rate.take(client))?;
        self.all_requests.as_ref().map_or(Ok(()), Rate::take)
    }

    /// Counts a new cluster, or refuses it.
    pub fn new_cluster(&self, client: IpAddr) -> Result<(), TooFast> {
        self.new.as_ref().map_or(Ok(()), |rate| rate.take(client))
    }
}

/// A rate for each address. Its memory is the same whoever asks.
#[derive(Debug)]
pub struct AddressRate {
    rate: Steady,
    hasher: RandomState,
    free_at: Box<[AtomicU64]>,
}

/// A rate for all.
#[derive(Debug)]
struct Rate {
    rate: Steady,
    free_at: AtomicU64,
}

/// So many events in a time, and so many saved up (the generic cell rate algorithm).
#[derive(Debug)]
struct Steady {
    since: Instant,
    /// How long one event takes, in nanoseconds.
    interval: u64,
    /// How far ahead of the time a client may be, in nanoseconds.
    ahead: u64,
}

impl AddressRate {
    /// So many events in a time, and so many at once; `None` for 0, which is no limit.
    pub fn new(count: u32, period: Duration, burst: u32) -> Option<Self> {
        let rate = Steady::new(count, period, burst)?;
        Some(Self { rate, hasher: RandomState::new(), free_at: (0..ADDRESSES).map(|_| AtomicU64::new(0)).collect() })
    }

    fn take(&self, client: IpAddr) -> Result<(), TooFast> {
        self.rate.take(self.free_at(client.into()))
    }

    /// Takes an event if it is within the limit. Otherwise it counts for nothing.
    pub fn allows(&self, network: Network) -> bool {
        self.rate.take(self.free_at(network)).is_ok()
    }

    /// Counts an event that nobody can refuse any more. Returns whether it was within the limit. What exceeds it delays the next
    /// event, but not for longer than it takes to save up the whole burst.
    pub fn count(&self, network: Network) -> bool {
        self.rate.count_at(self.free_at(network), self.rate.now())
    }

    /// Whether what was counted exceeds the limit.
    pub fn is_exceeded(&self, network: Network) -> bool {
        self.free_at(network).load(Ordering::Relaxed).saturating_sub(self.rate.now()) > self.rate.ahead
    }

    fn free_at(&self, network: Network) -> &AtomicU64 {
        &self.free_at[self.hasher.hash_one(network) as usize % ADDRESSES]
    }
}

impl Rate {
    fn new(count: u32, period: Duration, burst: u32) -> Option<Self> {
        Some(Self { rate: Steady::new(count, period, burst)?, free_at: AtomicU64::new(0) })
    }

    fn take(&self) -> Result<(), TooFast> {
        self.rate.take(&self.free_at)
    }
}

impl Steady {
    fn new(count: u32, period: Duration, burst: u32) -> Option<Self> {
        let interval = (period.as_nanos() / u128::from(count.max(1))) as u64;
        (count > 0).then(|| Self { since: Instant::now(), interval, ahead: interval.saturating_mul(burst.into()) })
    }

    fn take(&self, free_at: &AtomicU64) -> Result<(), TooFast> {
        self.take_at(free_at, self.now())
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }

    fn count_at(&self, free_at: &AtomicU64, now: u64) -> bool {
        let next = |free: u64| (free.max(now) + self.interval).min(now + 2 * self.ahead);
        let before = free_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| Some(next(free)));
        before.is_ok_and(|free| next(free) - now <= self.ahead)
    }

    fn take_at(&self, free_at: &AtomicU64, now: u64) -> Result<(), TooFast> {
        let next = |free: u64| {
            let after = free.max(now) + self.interval;
            (after - now <= self.ahead).then_some(after)
        };
        let taken = free_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|free| TooFast(Duration::from_nanos(free.max(now) + self.interval - now - self.ahead)))
    }
}

/// The response to a request beyond the limits; `None` if it is within them.
pub fn refuse_too_fast(app: &App, client: ClientAddress, request: &Parts) -> Option<Response> {
    if is_exempt(&request.uri) {
        return None;
    }
    let too_fast = app.rates.request(client.ip()).err()?;
    Some(refused(too_fast, is_grpc(&request.headers)))
}

/// Whoever looks whether the server lives must learn it however much others ask.
fn is_exempt(uri: &Uri) -> bool {
    matches!(uri.path(), "/livez" | "/readyz" | "/health")
}

fn refused(too_fast: TooFast, is_grpc: bool) -> Response {
    let seconds = too_fast.seconds();
    let detail = format!(
        "this address sends too many requests (--max-requests-per-second), or all together do (--max-total-requests-per-second); retry \
         in {seconds} s"
    );
    if is_grpc {
        return Status::resource_exhausted(detail).into_http::<axum::body::Body>().into_response();
    }
    with_retry_after(Problem::new(Kind::TooManyRequests, detail).into_response(), too_fast)
}

/// Tells the client when to come again.
pub fn with_retry_after(mut response: Response, too_fast: TooFast) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_fast.seconds()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_client_may_save_up_requests_and_then_has_its_rate() {
        let rate = Steady::new(10, Duration::from_secs(1), 50).unwrap();
        let place = AtomicU64::new(0);
        let taken = |now| (0..100).take_while(|_| rate.take_at(&place, now).is_ok()).count();
        assert_eq!(taken(SECOND), 50);
        assert_eq!(rate.take_at(&place, SECOND), Err(TooFast(Duration::from_millis(100))));
        assert_eq!(taken(2 * SECOND), 10);
        assert_eq!(taken(3 * SECOND + SECOND / 2), 15);
        assert_eq!(taken(100 * SECOND), 50, "no more than that is saved up");
    }

    #[test]
    fn what_is_counted_beyond_the_limit_has_to_be_waited_for_but_not_for_ever() {
        let rate = Steady::new(10, Duration::from_secs(1), 50).unwrap();
        let place = AtomicU64::new(0);
        let within = |now| rate.count_at(&place, now);
        assert_eq!((0..10_000).take_while(|_| within(SECOND)).count(), 50);
        assert!((0..10_000).all(|_| !within(SECOND)));
        assert!(!within(SECOND + 5 * SECOND - 1) && within(2 * SECOND + 2 * 5 * SECOND));
    }

    #[test]
    fn one_address_does_not_use_up_the_rate_of_another_and_a_network_of_ipv6_is_one_client() {
        let rates = Rates::new(1, 0, 3);
        let new = |address: &str| rates.new_cluster(address.parse().unwrap()).is_ok();
        assert_eq!([(); 5].map(|()| new("10.0.0.1")), [true, true, true, false, false]);
        assert!(new("10.0.0.2"));
        assert_eq!([1, 2, 3, 4].map(|n| new(&format!("2001:db8::{n}"))), [true, true, true, false]);
        assert!(new("2001:db8:0:1::1"));
        assert!(!new("::ffff:10.0.0.1"));
    }

    #[test]
    fn no_limit_is_none() {
        let rates = Rates::new(0, 0, 0);
        assert!((0..10_000).all(|_| rates.request("10.0.0.1".parse().unwrap()).is_ok()));
    }
}
