//! A client of v3 discovery, independent of etcd's.

use std::time::Duration;

use convene_etcd::wire::{
    Event, PutRequest, WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse, kv_client::KvClient,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

/// The time limit of every wait.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The number of concurrent calls or streams.
pub const AT_ONCE: usize = 32;

/// A cluster, for its keys.
#[derive(Clone)]
pub struct Cluster {
    pub token: String,
    /// The revision that created it.
    pub created: i64,
}

impl Cluster {
    /// Creates a cluster.
    pub async fn create(channel: &Channel, token: impl Into<String>) -> Self {
        let mut cluster = Self { token: token.into(), created: 0 };
        cluster.created = cluster.change(channel, 3).await;
        cluster
    }

    pub fn size_key(&self) -> String {
        format!("/_etcd/registry/{}/_config/size", self.token)
    }

    /// Puts the size, which is the least that can change.
    pub async fn change(&self, channel: &Channel, size: u32) -> i64 {
        put(channel, self.size_key(), format!("{size}")).await
    }

    /// Changes the cluster `times` times, and returns the last revision.
    pub async fn change_times(&self, channel: &Channel, times: u32) -> i64 {
        let sizes = stream::iter((0..times).map(|n| if n % 2 == 0 { 3 } else { 5 }));
        let changes = sizes.map(|size| self.change(channel, size)).buffer_unordered(AT_ONCE);
        changes.fold(0, async |last, revision| last.max(revision)).await
    }

    pub async fn register(&self, channel: &Channel, id: &str) -> i64 {
        let key = format!("/_etcd/registry/{}/members/{id}", self.token);
        put(channel, key, format!("{id}=http://{id}.example.com:2380")).await
    }

    /// A watch of everything in the cluster.
    pub fn watch(&self, start_revision: i64) -> WatchCreateRequest {
        let [key, range_end] = ['/', '0'].map(|end| format!("/_etcd/registry/{}{end}", self.token).into_bytes());
        WatchCreateRequest { key, range_end, start_revision, ..WatchCreateRequest::default() }
    }
}

async fn put(channel: &Channel, key: String, value: String) -> i64 {
    let request = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    let mut client = KvClient::new(channel.clone());
    let answer = tokio::time::timeout(LIMIT, client.put(request)).await.expect("a put is answered").unwrap();
    answer.into_inner().header.unwrap().revision
}

/// A stream of watches.
pub struct Watches {
    pub requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watches {
    /// Opens a stream and asks for a first watch. Nothing is read yet.
    pub async fn open(channel: &Channel, first: WatchCreateRequest) -> Result<Self, Status> {
        // The channel is as short as possible, so that the test notices when the server stops reading.
        let (requests, sent) = mpsc::channel(1);
        requests.send(create(first)).await.expect("the stream is about to read");
        let sent = stream::unfold(sent, async |mut sent: mpsc::Receiver<_>| Some((sent.recv().await?, sent)));
        let mut client = WatchClient::new(channel.clone());
        let answers = tokio::time::timeout(LIMIT, client.watch(sent)).await.expect("a stream opens")?;
        Ok(Self { requests, answers: answers.into_inner() })
    }

    /// Opens a stream, and waits until the server has created its first watch.
    pub async fn opened(channel: &Channel, first: WatchCreateRequest) -> Self {
        let mut watches = Self::open(channel, first).await.unwrap();
        let answer = watches.next().await;
        assert!(answer.created && !answer.canceled, "{answer:?}");
        watches
    }

    pub async fn next(&mut self) -> WatchResponse {
        let answer = tokio::time::timeout(LIMIT, self.try_next()).await;
        answer.expect("a watch receives an answer").unwrap()
    }

    /// The next answer, however long it takes, or why there is none: the stream may break off.
    pub async fn try_next(&mut self) -> Result<WatchResponse, Status> {
        self.answers.message().await?.ok_or_else(|| Status::unavailable("the stream has ended"))
    }

    pub async fn next_events(&mut self) -> Vec<Event> {
        let answer = self.next().await;
        assert!(!answer.events.is_empty(), "{answer:?}");
        answer.events
    }
}

pub fn create(request: WatchCreateRequest) -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) }
}

pub fn cancel(watch_id: i64) -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })) }
}

/// What one key was put to.
pub fn value(event: &Event) -> String {
    String::from_utf8(event.kv.as_ref().unwrap().value.clone()).unwrap()
}

pub fn revision(event: &Event) -> i64 {
    event.kv.as_ref().unwrap().mod_revision
}

pub async fn connect(url: &str) -> Channel {
    endpoint(url).connect().await.unwrap()
}

pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::from_shared(url.to_owned()).unwrap()
}
