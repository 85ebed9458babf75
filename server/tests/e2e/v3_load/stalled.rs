//! Clients that stop reading during many changes.

use std::{collections::BTreeMap, time::Duration};

use convene_etcd::wire::{WatchCreateRequest, WatchResponse};
use convene_harness::server::Server;
use futures_util::{StreamExt, future::join_all, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::transport::Channel;

use super::{Memory, log};
use crate::v3_client::{Cluster, Watches, connect, create, endpoint, revision};

/// The number of unread watches.
const WATCHES: usize = 100;

/// The number of clients that watch unknown clusters.
const UNKNOWING: usize = 8;

/// Enough changes to fill all buffers.
const FIRST_CHANGES: u32 = 1_000;

const FURTHER_CHANGES: u32 = 2_000;

/// The number of changes after which reading clients must have caught up. The server compacts events that are a
/// thousand changes old; another test covers that.
const AT_A_TIME: u32 = 250;

/// Memory that each unread watch may cost, in KiB, however many events it has. The events of all changes would take some 1,000.
const UNREAD_KIB: u64 = 450;

/// Memory that all of them may cost once their buffers are full, in KiB. The events of the further changes would take some
/// 70,000.
const FURTHER_KIB: u64 = 8 * 1024;

/// Long keys make long events. The client's HTTP/2 ends a connection on which many short pieces wait to be read.
const LONG_TOKEN: &str =
    "a-cluster-whose-size-is-put-again-and-again-while-somebody-who-watches-it-does-not-read-what-happens";

#[tokio::test(flavor = "multi_thread")]
async fn unread_watches_on_one_stream_use_little_memory_and_miss_no_event_silently() {
    let server = Server::start_with(&["--write-timeout", "10m"]);
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, LONG_TOKEN).await;
    let slow = connect_with_small_windows(&server).await;
    let memory = Memory::from_now_on(&server);
    let mut unread = Watches::open(&slow, everything_in(&cluster)).await.unwrap();
    for _ in 1..WATCHES {
        unread.requests.send(create(everything_in(&cluster))).await.unwrap();
    }
    let last = change_a_lot(&cluster, &channel, memory, "100 watches on an unread stream").await;

    let mut received: BTreeMap<i64, ReceivedEvents> = BTreeMap::new();
    while received.len() < WATCHES || received.values().any(|received| !received.is_done(last)) {
        let answer = unread.next().await;
        received.entry(answer.watch_id).or_insert_with(|| ReceivedEvents::of(&cluster)).receive(answer);
    }
    report(received.values());
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_on_one_connection_use_little_memory_and_miss_no_event_silently() {
    let server = Server::start_with(&["--write-timeout", "10m"]);
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, LONG_TOKEN).await;
    let slow = connect_with_small_windows(&server).await;
    let memory = Memory::from_now_on(&server);
    let unread = open(&slow, &cluster).await;
    let last = change_a_lot(&cluster, &channel, memory, "100 unread streams").await;
    read_all(unread, &cluster, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_connection_uses_little_memory_and_misses_no_event_silently() {
    let server = Server::start_with(&["--write-timeout", "10m"]);
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, LONG_TOKEN).await;
    let line = Line::to(&server).await;
    // Large windows, so that flow control is not what stops the events.
    let endpoint = endpoint(&line.url);
    let endpoint =
        endpoint.initial_stream_window_size(4 * 1024 * 1024).initial_connection_window_size(1024 * 1024 * 1024);
    let slow = endpoint.connect().await.unwrap();
    let memory = Memory::from_now_on(&server);
    let unread = open(&slow, &cluster).await;
    line.open.send_replace(false);
    let last = change_a_lot(&cluster, &channel, memory, "100 streams on a stalled connection").await;
    line.open.send_replace(true);
    read_all(unread, &cluster, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_do_not_block_other_clients() {
    let server = Server::start_with(&["--write-timeout", "10m"]);
    let channel = connect(&server.url).await;
    let cluster = Cluster::create(&channel, LONG_TOKEN).await;
    let last = cluster.change_times(&channel, 500).await;
    let slow = connect_with_small_windows(&server).await;
    let unread = open(&slow, &cluster).await;
    // Each has more past events than its window holds. So has each later client, which reads them.
    for _ in 0..20 {
        let mut received = ReceivedEvents::of(&cluster);
        received.read_up_to(last, &mut Watches::opened(&channel, everything_in(&cluster)).await).await;
        assert!(!received.compacted, "so little is not compacted");
    }
    let received = read_all(unread, &cluster, last).await;
    assert!(
        received.iter().all(|received| !received.compacted),
        "a late watch receives everything that is not compacted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_watches_of_unknown_clusters_do_not_block_other_clients() {
    let server = Server::start_with(&["--max-waits-per-address", "1000000", "--max-waits", "1000000"]);
    let channel = connect(&server.url).await;
    let unread = join_all((0..UNKNOWING).map(|n| ask_about_many(&server, n))).await;
    for round in 0..20 {
        let unknown = Cluster { token: format!("unknown-{round}"), created: 0 };
        Watches::opened(&channel, unknown.watch(0)).await;
    }
    drop(unread);
}

/// Creates watches of unknown clusters on a connection of its own, until the server stops reading because its responses
/// are not read.
async fn ask_about_many(server: &Server, stream: usize) -> Watches {
    // The client's HTTP/2 allows for the more short answers the larger the window of the connection is.
    let endpoint = endpoint(&server.url).initial_stream_window_size(16 * 1024);
    let channel = endpoint.initial_connection_window_size(16 * 1024 * 1024).connect().await.unwrap();
    let unknown = |n: usize| Cluster { token: format!("nobody-{stream}-{n}"), created: 0 };
    let watches = Watches::open(&channel, unknown(0).watch(0)).await.unwrap();
    for n in 1.. {
        let request = create(unknown(n).watch(0));
        match tokio::time::timeout(Duration::from_secs(2), watches.requests.send(request)).await {
            Ok(sent) => sent.expect("the stream stays open"),
            Err(_) => break,
        }
    }
    watches
}

/// Opens streams with one watch each.
async fn open(channel: &Channel, cluster: &Cluster) -> Vec<Watches> {
    let streams = stream::iter(0..WATCHES).then(|_| Watches::open(channel, everything_in(cluster)));
    streams.map(Result::unwrap).collect().await
}

/// Reads all streams at once until they have caught up. They share the connection's window, which is full, so reading
/// one alone would block on the others.
async fn read_all(streams: Vec<Watches>, cluster: &Cluster, last: i64) -> Vec<ReceivedEvents> {
    let caught_up = stream::iter(streams).map(async |mut watches| {
        let mut received = ReceivedEvents::of(cluster);
        received.read_up_to(last, &mut watches).await;
        received
    });
    let received = caught_up.buffer_unordered(WATCHES).collect::<Vec<_>>().await;
    report(received.iter());
    received
}

/// Small windows fill up after few events.
async fn connect_with_small_windows(server: &Server) -> Channel {
    let endpoint =
        endpoint(&server.url).initial_stream_window_size(16 * 1024).initial_connection_window_size(256 * 1024);
    endpoint.connect().await.unwrap()
}

/// Changes a cluster many times while another client does not read, and returns the last revision. The memory may grow
/// at first, but not with the number of changes.
async fn change_a_lot(cluster: &Cluster, channel: &Channel, memory: Memory<'_>, unread: &str) -> i64 {
    let filled = change(cluster, channel, cluster.created, FIRST_CHANGES).await;
    let with_full_buffers = memory.restarted();
    let last = change(cluster, channel, filled, FURTHER_CHANGES).await;
    with_full_buffers.has_gained_at_most(FURTHER_KIB, &format!("{unread} during 2,000 further changes"));
    memory.has_gained_at_most(UNREAD_KIB * WATCHES as u64, &format!("{unread} during 3,000 changes"));
    last
}

/// Changes a cluster `times` times while another client watches and reads every change. Returns the last revision.
async fn change(cluster: &Cluster, channel: &Channel, present: i64, times: u32) -> i64 {
    let mut watches = Watches::opened(channel, cluster.watch(present + 1)).await;
    let mut received = ReceivedEvents { next: present + 1, compacted: false };
    let mut last = present;
    for _ in 0..times / AT_A_TIME {
        last = cluster.change_times(channel, AT_A_TIME).await;
        received.read_up_to(last, &mut watches).await;
        assert!(!received.compacted, "a client that reads receives everything");
    }
    assert_eq!(last, present + i64::from(times));
    last
}

/// A watch of everything since the cluster was created.
fn everything_in(cluster: &Cluster) -> WatchCreateRequest {
    WatchCreateRequest { prev_kv: true, ..cluster.watch(cluster.created) }
}

/// What one watch has received.
struct ReceivedEvents {
    /// The revision that it must receive next.
    next: i64,
    /// Whether the watch ended because that revision is compacted.
    compacted: bool,
}

impl ReceivedEvents {
    fn of(cluster: &Cluster) -> Self {
        Self { next: cluster.created, compacted: false }
    }

    /// No event is missing, and none is repeated.
    fn receive(&mut self, answer: WatchResponse) {
        assert!(!self.compacted, "an ended watch receives {answer:?}");
        for event in &answer.events {
            assert_eq!(revision(event), self.next, "every change is a revision");
            self.next += 1;
        }
        if answer.canceled {
            assert!(answer.compact_revision > self.next, "{answer:?} when {} comes next", self.next);
            self.compacted = true;
        }
    }

    /// Reads the stream of this watch alone.
    async fn read_up_to(&mut self, last: i64, watches: &mut Watches) {
        while !self.is_done(last) {
            self.receive(watches.next().await);
        }
    }

    fn is_done(&self, last: i64) -> bool {
        self.compacted || self.next > last
    }
}

fn report<'a>(received: impl Iterator<Item = &'a ReceivedEvents>) {
    let (compacted, caught_up): (Vec<_>, Vec<_>) = received.partition(|received| received.compacted);
    log(&format!("{} watches caught up, {} were compacted", caught_up.len(), compacted.len()));
}

/// A proxy in front of the server that can hold up its responses.
struct Line {
    url: String,
    open: watch::Sender<bool>,
}

impl Line {
    /// For one connection.
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (open, mut is_open) = watch::channel(true);
        let address = server.address().to_owned();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(address).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let mut bytes = vec![0; 16 * 1024];
            while is_open.wait_for(|open| *open).await.is_ok() {
                let length = from_server.read(&mut bytes).await.unwrap_or_default();
                if length == 0 || to_client.write_all(&bytes[..length]).await.is_err() {
                    break;
                }
            }
        });
        Self { url, open }
    }
}
