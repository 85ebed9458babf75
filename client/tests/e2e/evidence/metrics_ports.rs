//! Members whose client ports serve no metrics.

use std::sync::Arc;

use convene_harness::{
    Place,
    cluster::wait_until_members,
    etcd::{Etcd, Version},
    free_port,
};

use crate::node::{LIMIT, Node, Registry};

/// etcd serves no metrics at its client port if it has one for HTTP of its own.
#[test]
fn a_dead_voter_is_replaced_if_the_leaders_metrics_port_is_known() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(3);
    let metrics: Vec<String> = (0..3).map(|_| format!("http://127.0.0.1:{}", free_port())).collect();
    let mut etcds = form(&version, &metrics);
    registry.administer(&["cluster", "adopt", &format!("--endpoints={}", etcds[0].place.client_url)]);
    etcds.pop().unwrap().kill();

    let spare = Node::new(&version, &registry, "infra3");
    let without_metrics = spare.spawn_join(&[]);
    without_metrics.wait_for_stderr("--listen-metrics-urls", LIMIT);
    drop(without_metrics);

    let mut spare = Node::new(&version, &registry, "infra4");
    let metrics = format!("--listen-metrics-urls={}", metrics.join(","));
    spare.join(&[&metrics]);
    let promoted = spare.call("promote", &["--timeout=40s", &metrics]).run(LIMIT);
    assert_eq!(promoted.code, Some(0), "{}", promoted.stderr);
    let endpoints = [&etcds[0].place.client_url, &etcds[1].place.client_url, &spare.place.client_url];
    wait_until_members(&version, &spare.access, &endpoints.map(String::as_str), 3, LIMIT);
}

/// A cluster of three, each with its own metrics URL.
fn form(version: &Version, metrics: &[String]) -> Vec<Etcd> {
    let places: Vec<Arc<Place>> = metrics.iter().map(|_| Arc::new(Place::new())).collect();
    let urls = places.iter().enumerate().map(|(number, place)| format!("infra{number}={}", place.peer_url));
    let all = urls.collect::<Vec<_>>().join(",");
    let etcds: Vec<Etcd> = places
        .iter()
        .zip(metrics)
        .enumerate()
        .map(|(number, (place, metrics))| {
            version.start(
                place,
                &[
                    &format!("--name=infra{number}"),
                    &format!("--initial-advertise-peer-urls={}", place.peer_url),
                    &format!("--initial-cluster={all}"),
                    &format!("--listen-client-http-urls=http://127.0.0.1:{}", free_port()),
                    &format!("--listen-metrics-urls={metrics}"),
                ],
            )
        })
        .collect();
    etcds.iter().for_each(|etcd| etcd.wait_until_healthy(LIMIT));
    etcds
}
