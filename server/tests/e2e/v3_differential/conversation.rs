//! One stream of watches.
//!
//! A stream carries the answers of several watches, in no defined order between watches. So the test compares the answers of
//! each watch in order: each answer without events, and each event on its own, because a server may distribute past events
//! over any number of answers.

use std::collections::BTreeMap;

use convene_etcd::wire::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming, transport::Channel};

use super::{
    LIMIT,
    answer::{Origin, gist},
    call::{Call, Rebase},
};
use crate::comparison::{Answer, Facts};

/// The ID of a watch that is made at the end of each conversation. Its creation is answered after everything
/// before, so that unexpected answers are received as well.
const LAST_WORD: i64 = 1_000_000;

/// The fact that an expected answer is missing.
const SILENCE: &str = "silence";

/// One thing that a client does while it has a stream of watches.
#[derive(Clone, Debug)]
pub enum Move {
    Create(WatchCreateRequest),
    Cancel(i64),
    AskForProgress,
    /// A request without a body.
    SayNothing,
    /// Waits for this number of further events and responses without events.
    Receive(usize),
    /// Makes a call.
    Do(Call),
}

/// What was received on a stream.
struct Received {
    origin: Origin,
    answers: mpsc::UnboundedReceiver<StreamItem>,
    /// The answers by watch ID. -1 stands for all watches, or for one that was refused.
    by_watch: BTreeMap<i64, Vec<Facts>>,
    /// How the stream ended, if it has.
    end: Option<Result<(), Status>>,
}

enum StreamItem {
    Answer(WatchResponse),
    /// How the stream ended.
    End(Result<(), Status>),
}

/// The requests of a conversation, as they are sent.
pub struct Conversation {
    requests: mpsc::UnboundedSender<WatchRequest>,
    received: Received,
}

impl Conversation {
    pub fn open(channel: Channel, origin: Origin) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures_util::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let (answered, answers) = mpsc::unbounded_channel();
        // An etcd sends nothing, not even the head of the stream, before its first answer.
        tokio::spawn(async move {
            let end = match WatchClient::new(channel).watch(sent).await {
                Ok(answers) => pass_on(answers.into_inner(), &answered).await,
                Err(status) => Err(status),
            };
            let _ = answered.send(StreamItem::End(end));
        });
        let received = Received { origin, answers, by_watch: BTreeMap::new(), end: None };
        Self { requests, received }
    }

    pub fn create(&self, mut request: WatchCreateRequest) {
        request.rebase(self.received.origin.base);
        self.send(Some(RequestUnion::CreateRequest(request)));
    }

    pub fn cancel(&self, watch_id: i64) {
        self.send(Some(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })));
    }

    pub fn ask_for_progress(&self) {
        self.send(Some(RequestUnion::ProgressRequest(WatchProgressRequest {})));
    }

    pub fn say_nothing(&self) {
        self.send(None);
    }

    fn send(&self, request_union: Option<RequestUnion>) {
        // A stream that the server has ended takes no request. Its end is among the received items.
        let _ = self.requests.send(WatchRequest { request_union });
    }

    /// Waits for this number of further responses.
    pub async fn receive(&mut self, further: usize) {
        let enough = self.received.count() + further;
        let received = tokio::time::timeout(LIMIT, async {
            while self.received.count() < enough && self.received.end.is_none() {
                self.received.next().await;
            }
        });
        if received.await.is_err() {
            self.received.fall_silent(format!("instead of {further} answers"));
        }
    }

    /// Ends the conversation and returns everything that was received.
    pub async fn finish(mut self, key: &[u8]) -> Answer {
        self.create(WatchCreateRequest { watch_id: LAST_WORD, key: key.into(), ..WatchCreateRequest::default() });
        let ended = tokio::time::timeout(LIMIT, async {
            while self.received.end.is_none() && self.received.by_watch.remove(&LAST_WORD).is_none() {
                self.received.next().await;
            }
        });
        if ended.await.is_err() {
            self.received.fall_silent("at the end".to_owned());
        }
        self.received.into_answer()
    }
}

impl Answer {
    /// Whether an answer is missing that the conversation waited for.
    pub fn is_silent(&self) -> bool {
        self.facts.keys().any(|name| name.ends_with(SILENCE))
    }
}

impl Received {
    fn count(&self) -> usize {
        self.by_watch.values().map(Vec::len).sum()
    }

    async fn next(&mut self) {
        match self.answers.recv().await.expect("the end arrives before the channel closes") {
            StreamItem::Answer(answer) => self.keep(answer),
            StreamItem::End(end) => self.end = Some(end),
        }
    }

    fn keep(&mut self, mut answer: WatchResponse) {
        let events = std::mem::take(&mut answer.events);
        let watch = answer.watch_id;
        let plain = WatchResponse { header: answer.header, watch_id: watch, ..WatchResponse::default() };
        if events.is_empty() || answer != plain {
            let facts = self.origin.watch_answer(&answer);
            self.record(watch, facts);
        }
        for event in events {
            let mut facts = self.origin.event(&event);
            facts.extend(self.origin.header("header", answer.header.as_ref()));
            self.record(watch, facts);
        }
    }

    fn fall_silent(&mut self, when: String) {
        self.record(-1, Facts::from([(SILENCE.to_owned(), when)]));
    }

    fn record(&mut self, watch: i64, facts: Facts) {
        self.by_watch.entry(watch).or_default().push(facts);
    }

    fn into_answer(self) -> Answer {
        let mut facts = Facts::new();
        for (watch, all) in &self.by_watch {
            for (n, one) in all.iter().enumerate() {
                facts.extend(one.iter().map(|(name, value)| (format!("watch {watch} [{n}] {name}"), value.clone())));
            }
        }
        let refused =
            self.by_watch.values().flatten().any(|facts| facts.get("canceled").is_some_and(|value| value == "true"));
        let summary = match &self.end {
            Some(Err(status)) => gist(status),
            Some(Ok(())) => "the stream ends".to_owned(),
            None if refused => "canceled".to_owned(),
            None => "Ok".to_owned(),
        };
        facts.insert("stream".to_owned(), format!("{:?}", self.end.map(|end| end.map_err(|status| gist(&status)))));
        Answer { summary, facts }
    }
}

async fn pass_on(mut answers: Streaming<WatchResponse>, to: &mpsc::UnboundedSender<StreamItem>) -> Result<(), Status> {
    while let Some(answer) = answers.message().await? {
        let _ = to.send(StreamItem::Answer(answer));
    }
    Ok(())
}
