//! Opens watches of v3 discovery, and keeps them open until standard input ends. `bench/waits` measures what they take.
//!
//! usage: watches URL TOKEN CONNECTIONS WATCHES-OF-EACH
//!
//! Prints a line when all are open, and another one when each has had an event.

use std::{env, error::Error, io::Read, iter, process};

use convene_etcd::wire::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient, watch_request::RequestUnion,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tonic::{Streaming, transport::Channel};

type Failure = Box<dyn Error + Send + Sync>;

/// How many connections or watches are opened at a time.
const AT_ONCE: usize = 50;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, token, connections, watches] = arguments.as_slice() else {
        return Err("usage: watches URL TOKEN CONNECTIONS WATCHES-OF-EACH".into());
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let (connections, watches): (usize, usize) = (connections.parse()?, watches.parse()?);
    let endpoint = Channel::from_shared(url.clone())?;
    let channels = stream::iter(0..connections).map(|_| endpoint.connect()).buffered(AT_ONCE);
    let channels: Vec<Channel> = channels.try_collect().await?;
    let of_each = channels.iter().flat_map(|channel| iter::repeat_n(channel, watches));
    let opened = stream::iter(of_each).map(|channel| watch(channel.clone(), token)).buffered(AT_ONCE);
    let opened: Vec<Streaming<WatchResponse>> = opened.try_collect().await?;
    println!("open");
    for mut watch in opened {
        watch.message().await?.ok_or("a watch ended")?;
    }
    println!("events");
    std::future::pending().await
}

/// A watch of the members of a cluster, as etcd opens it.
async fn watch(channel: Channel, token: &str) -> Result<Streaming<WatchResponse>, Failure> {
    let key = format!("/_etcd/registry/{token}/members");
    let mut range_end = key.clone().into_bytes();
    *range_end.last_mut().ok_or("the key is empty")? += 1;
    let create = WatchCreateRequest { key: key.into_bytes(), range_end, ..WatchCreateRequest::default() };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut watch = WatchClient::new(channel).watch(requests).await?.into_inner();
    match watch.message().await? {
        Some(response) if response.created => Ok(watch),
        other => Err(format!("the watch was not created: {other:?}").into()),
    }
}
