//! The client against real etcds of every version that is installed; `scripts/peers/install` installs them.

mod allowing;
mod membership;
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

/// What a healthy etcd never needs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a call may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Runs a test with every version, all at once.
async fn with_every_version<F>(test: impl Fn(Version) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let running: Vec<_> = Version::all().into_iter().map(|version| tokio::spawn(test(version))).collect();
    let mut ended = Vec::new();
    for test in running {
        ended.push(timeout(4 * LIMIT, test).await);
    }
    // Only now, because a test's end would stop the others in the middle of a call.
    ended.into_iter().for_each(|test| test.expect("a test ends").unwrap());
}

/// Asks again until etcd does it, as long as it gives one of the reasons that pass.
async fn until_done<T, F>(passes: fn(&EtcdError) -> bool, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, EtcdError>>,
{
    let deadline = Instant::now() + LIMIT;
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(error) => assert!(passes(&error) && Instant::now() < deadline, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until an etcd answers that fits.
async fn until<T: std::fmt::Debug, F>(mut ask: impl FnMut() -> F, fits: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = T>,
{
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = ask().await;
        if fits(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {answer:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A client without TLS and user.
fn client(etcd: &Etcd) -> Client {
    Client::new(&etcd.place.client_url.parse().unwrap(), &Access::default()).unwrap()
}

/// A cluster of etcds that is ready, which takes a thread for itself.
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

/// A peer URL where nobody listens.
fn nobody() -> PeerUrl {
    format!("http://127.0.0.1:{}", free_port()).parse().unwrap()
}
