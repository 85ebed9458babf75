//! Far more requests than a well-behaved client sends.

use std::{sync::Arc, time::Duration};

use convene_etcd::wire::WatchCreateRequest;
use convene_harness::server::Server;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{Bystander, Memory};
use crate::v3_client::{AT_ONCE, Cluster, LIMIT, Watches, cancel, connect, create};

const PAIRS: i64 = 20_000;

/// How many watches are created and canceled before the first of them is answered. The server's HTTP library ends a connection with very
/// many small frames that wait (`too_many_data_frames`), as they do while each watch has to ask PostgreSQL.
const UNANSWERED: usize = 16;

const STREAMS: usize = 5_000;

/// Streams that the client drops before it gets a response.
const UNHEARD: u64 = 8_000;

const CREATES: i64 = 200_000;

/// Memory that may remain after so many watches, in KiB: the allocator keeps some.
const LEFT_OF_WATCHES_KIB: u64 = 12 * 1024;

/// Memory that may remain after so many streams, in KiB. An open stream costs more than 20, so a leak of a thousand
/// would show.
const LEFT_OF_STREAMS_KIB: u64 = 24 * 1024;

/// Memory that a client without reads may cost, in KiB.
const UNREAD_KIB: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn created_and_canceled_watches_leak_no_memory() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, "flooded").await;
    let bystander = Bystander::start(&server).await;
    let mut watches = Watches::opened(&channel, cluster.watch(0)).await;
    make_and_cancel(&mut watches, &cluster, 1..PAIRS / 4).await;
    let memory = Memory::from_now_on(&server);
    make_and_cancel(&mut watches, &cluster, PAIRS / 4..PAIRS).await;
    memory.has_gained_at_most(LEFT_OF_WATCHES_KIB, "15,000 watches that were created and canceled after 5,000 others");

    // Only the first watch, which has the ID 0, still exists.
    let changed = cluster.change(&channel, 5).await;
    let answer = watches.next().await;
    assert_eq!((answer.watch_id, answer.events.len(), answer.header.unwrap().revision), (0, 1, changed));
    bystander.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opened_and_dropped_streams_leak_no_memory() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, "flooded").await;
    let bystander = Bystander::start(&server).await;
    let open_and_drop = async |times| {
        let streams = stream::iter(0..times).map(|_| Watches::opened(&channel, cluster.watch(0)));
        streams.buffer_unordered(AT_ONCE).for_each(async |watches| drop(watches)).await;
    };
    open_and_drop(STREAMS / 4).await;
    let memory = Memory::from_now_on(&server);
    open_and_drop(STREAMS - STREAMS / 4).await;
    memory.has_gained_at_most(LEFT_OF_STREAMS_KIB, "3,750 streams that were opened and dropped after 1,250 others");
    bystander.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_dropped_before_a_response_do_not_disturb_others() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, "flooded").await;
    let bystander = Bystander::start(&server).await;
    let hasty = connect(&server.url).await;
    let open_and_drop = async |times| {
        let streams = stream::iter(0..times).map(async |n| {
            // The server may close the connection of such a client; the channel reconnects.
            let opened = Watches::open(&hasty, cluster.watch(cluster.created));
            let _ = tokio::time::timeout(Duration::from_micros(100 * (n % 16)), opened).await;
        });
        streams.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    };
    open_and_drop(UNHEARD / 2).await;
    let memory = Memory::from_now_on(&server);
    open_and_drop(UNHEARD / 2).await;
    memory.has_gained_at_most(
        LEFT_OF_STREAMS_KIB,
        "4,000 streams that were dropped before a response after as many others",
    );
    bystander.stop().await;
    Watches::opened(&channel, cluster.watch(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_responses_is_stopped_before_it_uses_much_memory() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, "flooded").await;
    let bystander = Bystander::start(&server).await;
    let memory = Memory::from_now_on(&server);
    let watches = Watches::open(&connect(&server.url).await, cluster.watch(0)).await.unwrap();
    let mut taken = 0;
    for watch_id in 1..CREATES {
        let request = create(WatchCreateRequest { watch_id, ..cluster.watch(0) });
        // The server stops reading, or ends the stream, once it can't send its responses.
        match tokio::time::timeout(Duration::from_secs(2), watches.requests.send(request)).await {
            Ok(Ok(())) => taken = watch_id,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    memory.has_gained_at_most(UNREAD_KIB, &format!("{taken} watches whose responses were not read"));
    bystander.stop().await;
}

/// Creates watches with these IDs and cancels each at once, as fast as the server answers.
async fn make_and_cancel(watches: &mut Watches, cluster: &Cluster, ids: std::ops::Range<i64>) {
    let requests = watches.requests.clone();
    let (cluster, of) = (cluster.clone(), ids.clone());
    let unanswered = Arc::new(Semaphore::new(UNANSWERED));
    let answered = unanswered.clone();
    let sender = tokio::spawn(async move {
        for watch_id in of {
            unanswered.acquire().await.unwrap().forget();
            requests.send(create(WatchCreateRequest { watch_id, ..cluster.watch(0) })).await.unwrap();
            requests.send(cancel(watch_id)).await.unwrap();
        }
    });
    for id in ids {
        let (made, canceled) = (watches.next().await, watches.next().await);
        assert_eq!((made.watch_id, made.created, made.canceled), (id, true, false), "{made:?}");
        assert_eq!((canceled.watch_id, canceled.created, canceled.canceled), (id, false, true), "{canceled:?}");
        answered.add_permits(1);
    }
    tokio::time::timeout(LIMIT, sender).await.expect("what was answered was sent").unwrap();
}
