//! What a leader has received from its peers.

use std::{sync::Arc, time::Duration};

use convene_etcd::{EtcdError, MetricsClient, PeerMetrics, Tls};
use convene_harness::{Place, tls::Ca};
use convene_lifecycle::{ClientUrl, MemberId};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

use crate::{LIMIT, WITHIN, client, dead_url, formed, quorum::leader_first, until, until_done, with_every_version};

/// Heartbeats are sent every 100 ms.
const SOME_HEARTBEATS: Duration = Duration::from_secs(1);

/// etcd records the first round trip 5 s after it knows a peer.
const FIRST_ROUND_TRIP: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_counters_show_which_peers_are_alive_and_which_were_ever_reached() {
    with_every_version(|version| async move {
        let mut etcds = leader_first(formed(&version, &["a", "b", "c"]).await).await;
        let leader = client(&etcds[0]);
        let mut ids = Vec::new();
        for etcd in &etcds {
            ids.push(client(etcd).status(WITHIN).await.unwrap().member);
        }
        let read = || of(&etcds[0].place.client_url);

        let metrics = read().await;
        assert!(metrics.is_leader);
        let other = of(&etcds[1].place.client_url).await;
        assert!(!other.is_leader);
        // Both may have started within 10 ms, which is the resolution of the kernel.
        assert!(metrics.started_at.is_some() && other.started_at.is_some());
        assert_eq!(read().await.started_at, metrics.started_at);
        assert_eq!(metrics.received_bytes(MemberId(1)), 0, "nobody has this ID");
        // etcd's strict check takes 5 s to accept a change.
        let nowhere = [dead_url()];
        let is_temporary = |error: &EtcdError| matches!(error, EtcdError::Unhealthy { .. });
        let learner = until_done(is_temporary, || leader.add_member(&nowhere, true, WITHIN)).await;
        for id in &ids[1..] {
            let before = read().await.received_bytes(*id);
            until(read, |metrics| metrics.received_bytes(*id) > before).await;
            until(read, |metrics| metrics.round_trips(*id) > 0).await;
            until(read, |metrics| metrics.matched(*id).is_some_and(|index| index > 0)).await;
        }
        assert_eq!(other.matched(ids[2]), None, "a follower knows nothing of others' logs");
        sleep(FIRST_ROUND_TRIP).await;
        let metrics = read().await;
        assert_eq!((metrics.received_bytes(learner), metrics.round_trips(learner)), (0, 0), "nothing answers there");

        let last = etcds.pop().unwrap();
        drop(last);
        let read = || of(&etcds[0].place.client_url);
        let quiet = async || {
            let before = read().await.received_bytes(ids[2]);
            sleep(SOME_HEARTBEATS).await;
            before == read().await.received_bytes(ids[2])
        };
        let deadline = Instant::now() + LIMIT;
        while !quiet().await {
            assert!(Instant::now() < deadline, "a dead member is still heard");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_read_with_the_certificates_of_the_client_port() {
    with_every_version(|version| async move {
        let ca = Ca::new();
        let place = Arc::new(Place::with_tls(&ca.node()));
        let etcds = version.form(&[("a", place.clone())]);
        block_in_place(|| etcds[0].wait_until_healthy(LIMIT));
        let url: ClientUrl = place.client_url.parse().unwrap();
        let files = ca.client("root");
        let tls = Tls::read(Some(&files.ca), Some(&files.certificate), Some(&files.key)).unwrap();
        assert!(MetricsClient::new(&tls).unwrap().peers(&url, WITHIN).await.unwrap().is_leader);
        let without = Tls { identity: None, ..tls };
        let refused = MetricsClient::new(&without).unwrap().peers(&url, WITHIN).await.unwrap_err();
        assert!(matches!(refused, EtcdError::TlsFailed { .. } | EtcdError::ConnectionLost { .. }), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_url_without_a_listener_is_unreachable() {
    let url = dead_url().as_str().parse().unwrap();
    let refused = MetricsClient::new(&Tls::default()).unwrap().peers(&url, WITHIN).await.unwrap_err();
    assert!(matches!(refused, EtcdError::Unreachable { .. }), "{refused:?}");
}

async fn of(client_url: &str) -> PeerMetrics {
    let url = client_url.parse().unwrap();
    MetricsClient::new(&Tls::default()).unwrap().peers(&url, WITHIN).await.unwrap()
}
