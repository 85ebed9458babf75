//! A thousand streams at once.

use convene_harness::server::Server;
use futures_util::{StreamExt, stream};
use tonic::transport::Channel;

use super::{Memory, log};
use crate::v3_client::{AT_ONCE, Cluster, Watches, connect, value};

const STREAMS: usize = 1_000;

/// Memory that a stream may cost the server, in KiB.
const KIB_EACH: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_over_one_connection_receive_one_registration_in_each_of_ten_clusters() {
    let server = Server::start();
    let channel = connect(&server.url).await;
    let names = (0..10).map(|n| format!("cluster-{n}"));
    let clusters: Vec<_> = stream::iter(names).then(|name| Cluster::create(&channel, name)).collect().await;
    let memory = Memory::from_now_on(&server);
    let pairs = (0..STREAMS).map(|n| (channel.clone(), clusters[n % clusters.len()].clone()));
    let streams = open(pairs.collect()).await;
    memory.has_gained_at_most(KIB_EACH * STREAMS as u64, "1,000 streams over one connection");

    for cluster in &clusters {
        cluster.register(&channel, &cluster.token).await;
    }
    for (cluster, mut watches) in streams {
        let [event] = &watches.next_events().await[..] else { panic!("one registration is one event") };
        assert_eq!(value(event), format!("{0}=http://{0}.example.com:2380", cluster.token));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_over_fifty_connections_receive_one_registration() {
    let server = Server::start();
    let channels: Vec<_> = stream::iter(0..50).then(|_| connect(&server.url)).collect().await;
    let cluster = Cluster::create(&channels[0], "one-for-all").await;
    let memory = Memory::from_now_on(&server);
    let pairs = (0..STREAMS).map(|n| (channels[n % channels.len()].clone(), cluster.clone()));
    let streams = open(pairs.collect()).await;
    memory.has_gained_at_most(KIB_EACH * STREAMS as u64, "1,000 streams over fifty connections");

    let begun = std::time::Instant::now();
    cluster.register(&channels[0], "first").await;
    for (_, mut watches) in streams {
        let [event] = &watches.next_events().await[..] else { panic!("one registration is one event") };
        assert_eq!(value(event), "first=http://first.example.com:2380");
    }
    log(&format!("1,000 streams received one registration within {:?}", begun.elapsed()));
}

/// Opens a stream with a watch of its cluster over each channel, some of them at a time.
async fn open(pairs: Vec<(Channel, Cluster)>) -> Vec<(Cluster, Watches)> {
    let opened = stream::iter(pairs).map(async |(channel, cluster)| {
        let watches = Watches::opened(&channel, cluster.watch(0)).await;
        (cluster, watches)
    });
    opened.buffered(AT_ONCE).collect().await
}
