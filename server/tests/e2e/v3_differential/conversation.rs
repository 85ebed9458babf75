//! What is said on one stream of watches.
//!
//! A stream carries the answers of several watches, and says in no certain order what happens to different ones. So
//! what is compared is what each watch was told, in order: each answer without events, and each event, as a server
//! may put events of the past into as many answers as it likes.

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

/// The ID of a watch that is made at the end of each conversation. Its creation is answered after all that came
/// before, so that nothing that nobody expects stays unheard.
const LAST_WORD: i64 = 1_000_000;

/// The fact that something expected was not said.
const SILENCE: &str = "silence";

/// One thing that a client does while it has a stream of watches.
#[derive(Clone, Debug)]
pub enum Move {
    Create(WatchCreateRequest),
    Cancel(i64),
    AskForProgress,
    /// A request without a body.
    SayNothing,
    /// Waits for so many further events and answers without events.
    Hear(usize),
    /// Makes a call.
    Do(Call),
}

/// What was heard on a stream.
struct Heard {
    origin: Origin,
    answers: mpsc::UnboundedReceiver<Said>,
    /// Of each watch, what it was told. -1 stands for all of them, or for one that was refused.
    told: BTreeMap<i64, Vec<Facts>>,
    /// How the stream ended, if it has.
    end: Option<Result<(), Status>>,
}

enum Said {
    Answer(WatchResponse),
    /// How the stream ended.
    End(Result<(), Status>),
}

/// The requests of a conversation, as they are sent.
pub struct Conversation {
    requests: mpsc::UnboundedSender<WatchRequest>,
    heard: Heard,
}

impl Conversation {
    pub fn open(channel: Channel, origin: Origin) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures_util::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let (answered, answers) = mpsc::unbounded_channel();
        // An etcd says nothing at all, not even that the stream is open, before it has something to answer.
        tokio::spawn(async move {
            let end = match WatchClient::new(channel).watch(sent).await {
                Ok(answers) => pass_on(answers.into_inner(), &answered).await,
                Err(status) => Err(status),
            };
            let _ = answered.send(Said::End(end));
        });
        let heard = Heard { origin, answers, told: BTreeMap::new(), end: None };
        Self { requests, heard }
    }

    pub fn create(&self, mut request: WatchCreateRequest) {
        request.rebase(self.heard.origin.base);
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
        // A stream that the server has ended takes nothing any more; that it has is among what was heard.
        let _ = self.requests.send(WatchRequest { request_union });
    }

    /// Waits for so many further things to hear.
    pub async fn hear(&mut self, further: usize) {
        let enough = self.heard.count() + further;
        let heard = tokio::time::timeout(LIMIT, async {
            while self.heard.count() < enough && self.heard.end.is_none() {
                self.heard.next().await;
            }
        });
        if heard.await.is_err() {
            self.heard.fall_silent(format!("instead of {further} answers"));
        }
    }

    /// Ends the conversation; all that was heard.
    pub async fn finish(mut self, key: &[u8]) -> Answer {
        self.create(WatchCreateRequest { watch_id: LAST_WORD, key: key.into(), ..WatchCreateRequest::default() });
        let said = tokio::time::timeout(LIMIT, async {
            while self.heard.end.is_none() && self.heard.told.remove(&LAST_WORD).is_none() {
                self.heard.next().await;
            }
        });
        if said.await.is_err() {
            self.heard.fall_silent("at the end".to_owned());
        }
        self.heard.into_answer()
    }
}

impl Answer {
    /// Whether less was said than a conversation waited for.
    pub fn is_silent(&self) -> bool {
        self.facts.keys().any(|name| name.ends_with(SILENCE))
    }
}

impl Heard {
    fn count(&self) -> usize {
        self.told.values().map(Vec::len).sum()
    }

    async fn next(&mut self) {
        match self.answers.recv().await.expect("the end is said before the channel closes") {
            Said::Answer(answer) => self.keep(answer),
            Said::End(end) => self.end = Some(end),
        }
    }

    fn keep(&mut self, mut answer: WatchResponse) {
        let events = std::mem::take(&mut answer.events);
        let watch = answer.watch_id;
        let plain = WatchResponse { header: answer.header, watch_id: watch, ..WatchResponse::default() };
        if events.is_empty() || answer != plain {
            let facts = self.origin.watch_answer(&answer);
            self.tell(watch, facts);
        }
        for event in events {
            let mut facts = self.origin.event(&event);
            facts.extend(self.origin.header("header", answer.header.as_ref()));
            self.tell(watch, facts);
        }
    }

    fn fall_silent(&mut self, when: String) {
        self.tell(-1, Facts::from([(SILENCE.to_owned(), when)]));
    }

    fn tell(&mut self, watch: i64, facts: Facts) {
        self.told.entry(watch).or_default().push(facts);
    }

    fn into_answer(self) -> Answer {
        let mut facts = Facts::new();
        for (watch, told) in &self.told {
            for (n, told) in told.iter().enumerate() {
                facts.extend(told.iter().map(|(name, value)| (format!("watch {watch} [{n}] {name}"), value.clone())));
            }
        }
        let refused =
            self.told.values().flatten().any(|facts| facts.get("canceled").is_some_and(|said| said == "true"));
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

async fn pass_on(mut answers: Streaming<WatchResponse>, to: &mpsc::UnboundedSender<Said>) -> Result<(), Status> {
    while let Some(answer) = answers.message().await? {
        let _ = to.send(Said::Answer(answer));
    }
    Ok(())
}
