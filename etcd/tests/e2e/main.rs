//! The clients against real etcds of every installed version. `scripts/peers/install` installs them.

mod access;
mod membership;
mod metrics;
mod quorum;
mod silence;

use std::{sync::Arc, time::Duration};

use convene_etcd::{Access, Client, EtcdError};
use convene_harness::{
    Place,
    etcd::{Etcd, Version},
    free_port,
};
use convene_lifecycle::PeerUrl;
use tokio::time::{Instant, sleep, timeout};

/// More time than a healthy etcd ever needs.
const LIMIT: Duration = Duration::from_secs(60);

/// The timeout of a call.
const WITHIN: Duration = Duration::from_secs(10);

/// Runs a test with every version, concurrently.
async fn with_every_version<F>(test: impl Fn(Version) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let running: Vec<_> = Version::all().into_iter().map(|version| tokio::spawn(test(version))).collect();
    let mut ended = Vec::new();
    for test in running {
        ended.push(timeout(4 * LIMIT, test).await);
    }
    // Only now, because a panic would abort the other tests in the middle of a call.
    ended.into_iter().for_each(|test| test.expect("a test ends").unwrap());
}

/// Repeats a call until it succeeds, as long as it fails with a temporary error.
async fn until_done<T, F>(is_temporary: fn(&EtcdError) -> bool, mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, EtcdError>>,
{
    let deadline = Instant::now() + LIMIT;
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert!(is_temporary(&error) && Instant::now() < deadline, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Repeats a call until its result has a property.
async fn until<T: std::fmt::Debug, F>(mut call: impl FnMut() -> F, holds: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = T>,
{
    let deadline = Instant::now() + LIMIT;
    loop {
        let result = call().await;
        if holds(&result) {
            return result;
        }
        assert!(Instant::now() < deadline, "still {result:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Requests a membership change, and again while etcd does not answer.
///
/// Raft ignores a change until it has applied the previous one (`raft.go:stepLeader`). On a busy disk, etcd answers the previous
/// request earlier than that (`server/etcdserver/raft.go:start`). Nobody answers the request for the ignored change.
async fn changed<T: std::fmt::Debug, F>(request: impl FnMut() -> F) -> Result<T, EtcdError>
where
    F: Future<Output = Result<T, EtcdError>>,
{
    until(request, |answer| !matches!(answer, Err(EtcdError::TimedOut { .. }))).await
}

/// A client without TLS and without a user.
fn client(etcd: &Etcd) -> Client {
    Client::new(&etcd.place.client_url.parse().unwrap(), &Access::default()).unwrap()
}

/// A healthy cluster. Forming it blocks, so it runs on another thread.
async fn formed(version: &Version, names: &'static [&'static str]) -> Vec<Etcd> {
    let version = version.clone();
    let form = move || {
        let places = names.iter().map(|name| (*name, Arc::new(Place::new())));
        let etcds = version.form(&places.collect::<Vec<_>>());
        etcds.iter().for_each(|etcd| etcd.wait_until_healthy(LIMIT));
        etcds
    };
    tokio::task::spawn_blocking(form).await.unwrap()
}

/// A peer URL without a listener.
fn dead_url() -> PeerUrl {
    format!("http://127.0.0.1:{}", free_port()).parse().unwrap()
}
