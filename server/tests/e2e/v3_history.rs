//! How far back the history of v3 discovery goes.

use convene_etcd::wire::{RangeRequest, RangeResponse, kv_client::KvClient};
use convene_harness::server::Server;
use tonic::{Code, Status, transport::Channel};

use crate::v3_client::{Cluster, Watches, connect, revision};

const CHANGES: u32 = 2_500;

/// How many changes the server retains at least.
const KEPT: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_or_watch_of_a_compacted_revision_gets_the_oldest_available_one() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, "changed-a-lot").await;
    let last = cluster.change_times(&channel, CHANGES).await;

    let mut watches = Watches::opened(&channel, cluster.watch(1)).await;
    let end = watches.next().await;
    assert!(end.canceled && end.watch_id == 0 && end.events.is_empty(), "{end:?}");
    let first = end.compact_revision;
    assert!((2..=last - KEPT + 1).contains(&first), "{end:?}");

    let mut watches = Watches::opened(&channel, cluster.watch(first)).await;
    assert_eq!(receive_until(&mut watches, last).await, (first..=last).collect::<Vec<_>>());
    let refused = read(&channel, &cluster, 1).await.unwrap_err();
    let message = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!((refused.code(), refused.message()), (Code::OutOfRange, message));
    for past in [first, last - KEPT + 1, last] {
        let answer = read(&channel, &cluster, past).await.unwrap();
        let [size] = &answer.kvs[..] else { panic!("{answer:?}") };
        assert_eq!((size.mod_revision, size.version, answer.header.unwrap().revision), (past, past, last));
    }
}

/// The revisions of all events up to the last.
async fn receive_until(watches: &mut Watches, last: i64) -> Vec<i64> {
    let mut received = Vec::new();
    while received.last() != Some(&last) {
        received.extend(watches.next_events().await.iter().map(revision));
    }
    received
}

/// The size as it was at a revision.
async fn read(channel: &Channel, cluster: &Cluster, revision: i64) -> Result<RangeResponse, Status> {
    let request = RangeRequest { key: cluster.size_key().into(), revision, ..RangeRequest::default() };
    Ok(KvClient::new(channel.clone()).range(request).await?.into_inner())
}
