use std::{collections::HashSet, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use convene_lifecycle::{Event, EventKind, MemberKey, Revision, Subject};
use futures_util::stream;
use thiserror::Error;

use super::{
    answer::{Answer, body_response},
    error::{Code, V2Error},
    path::{KeyPath, Node},
};
use crate::{
    access::Standing,
    app::App,
    connection::{self, Rests},
    metrics::WaitKind,
    registry::{Delivery, Registry, Subscription, Unavailable},
    stale::mark_stale,
    waiting::OpenWait,
};

/// What a long poll waits for.
#[derive(Debug)]
pub struct Wait {
    path: KeyPath,
    recursive: bool,
    /// Members that have changed since the wait began, while their cluster was forming, without ending it.
    touched: HashSet<MemberKey>,
    /// Whether the cluster was reset since the wait began. A wait for members of the
    /// last epoch must not end with a member of the next.
    was_reset: bool,
}

/// What an event means to a [`Wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Answer,
    PassOver,
    /// The cluster is deleted. The client would take an answer with this event for a new member, so the body stays empty.
    AskAgain,
}

impl Wait {
    /// A wait for the next event at a node, or with `recursive` at or below it.
    pub fn new(path: KeyPath, recursive: bool) -> Self {
        Self { path, recursive, touched: HashSet::new(), was_reset: false }
    }

    /// Judges the next event; they come in the order of their revisions, from the first that counts.
    ///
    /// A forming etcd counts each answer as one more member, without reading the action
    /// (`v2discovery/discovery.go:waitNodes`). So while the cluster forms, a wait ends only with a member that registered
    /// after the wait began.
    fn judge(&mut self, event: &Event) -> Verdict {
        self.was_reset |= event.kind == EventKind::EpochBegun;
        let answers = match (&event.subject, &self.path.node) {
            (Subject::Cluster, Node::Cluster) if self.recursive && event.while_forming => return Verdict::AskAgain,
            (Subject::Cluster, _) => true,
            (Subject::Size, Node::Size) => true,
            (Subject::Size, Node::Config) => self.recursive,
            (Subject::Member(changed), Node::Member(key)) => changed == key,
            (Subject::Member(_), Node::Cluster) if self.was_reset => false,
            (Subject::Member(changed), Node::Cluster) if self.recursive => {
                let comes = event.previous.is_none() && !self.touched.contains(changed);
                if event.while_forming && !comes {
                    self.touched.insert(changed.clone());
                }
                comes || !event.while_forming
            }
            _ => false,
        };
        if answers { Verdict::Answer } else { Verdict::PassOver }
    }
}

/// Answers a long poll: at once from the history, or when something happens. An empty answer means
/// "ask again": after `--wait-timeout`, when the server stops, when the cluster is gone and when the client's credential ends. The
/// next request is then refused.
///
/// What is `held` counts as open until the body of the answer ends.
pub async fn long_poll(
    app: Arc<App>,
    standing: Standing,
    wait: Wait,
    wait_index: Option<u64>,
    held: (connection::Wait, Option<OpenWait>),
) -> Result<Response, V2Error> {
    // Subscribe before reading: an event in between is delivered twice rather than lost.
    let subscription = app.registry.subscribe(&wait.path.token, WaitKind::V2);
    let known = app.registry.latest_known(&wait.path.token).await?.ok_or_else(|| wait.path.no_such_cluster())?;
    let index = known.snapshot.cluster.revision;
    let from = wait_index.map_or(index.next(), Revision);
    let mut pending = Pending { wait, from, subscription };
    if from <= index {
        match pending.replay_history(&app.registry).await? {
            Some(Outcome::Event(event)) => {
                let answer = Answer::event(&event, &pending.wait.path.folder);
                return Ok(body_response(answer.to_body(), index));
            }
            Some(Outcome::AskAgain) => return Ok(body_response(Body::empty(), index)),
            Some(Outcome::Compacted { oldest }) => return Err(history_compacted(oldest, from).at(index)),
            Some(Outcome::HistoryLost) | None => {}
        }
    }
    // Send the headers now, as etcd does, and the body when the wait ends.
    let body = stream::once(async move {
        let answer = pending.wait_until_timeout(&app, &standing).await;
        drop(held);
        answer
    });
    let mut response = mark_stale(body_response(Body::from_stream(body), index), &known);
    response.extensions_mut().insert(Rests);
    Ok(response)
}

fn history_compacted(oldest: Revision, from: Revision) -> V2Error {
    V2Error::new(Code::EventIndexCleared, format!("the requested history has been cleared [{oldest}/{from}]"))
}

/// A long poll under way.
struct Pending {
    wait: Wait,
    /// The next revision to judge.
    from: Revision,
    subscription: Subscription,
}

enum Outcome {
    Event(Arc<Event>),
    AskAgain,
    /// The next event to judge has been compacted.
    Compacted {
        oldest: Revision,
    },
    /// The database has lost events before the next one.
    HistoryLost,
}

/// Breaks off an answer.
#[derive(Debug, Error)]
#[error("the database has lost events")]
struct HistoryLost;

impl Pending {
    /// If the database has lost events, the answer is broken off: etcd's client then reads the directory again
    /// (`v2discovery/discovery.go:waitNodesRetry`), and after an empty answer it would not.
    async fn wait_until_timeout(mut self, app: &App, standing: &Standing) -> Result<Bytes, HistoryLost> {
        let outcome = tokio::select! {
            outcome = self.wait_for_event(&app.registry) => outcome,
            _ = standing.ended(app) => Ok(Outcome::AskAgain),
            () = tokio::time::sleep(app.wait_timeout) => Ok(Outcome::AskAgain),
            () = app.stopping.cancelled() => Ok(Outcome::AskAgain),
        };
        match outcome {
            Ok(Outcome::Event(_)) if standing.check(app).await.is_err() => Ok(Bytes::new()),
            Ok(Outcome::Event(event)) => Ok(Answer::event(&event, &self.wait.path.folder).to_body()),
            Ok(Outcome::AskAgain | Outcome::Compacted { .. }) | Err(Unavailable) => Ok(Bytes::new()),
            Ok(Outcome::HistoryLost) => Err(HistoryLost),
        }
    }

    async fn wait_for_event(&mut self, registry: &Registry) -> Result<Outcome, Unavailable> {
        loop {
            let outcome = match self.subscription.next().await {
                Delivery::Event(event) if self.comes_next(&event) => self.judge(event),
                Delivery::HistoryLost => Some(Outcome::HistoryLost),
                // Boxed, because it is rare, and each wait would take its memory.
                Delivery::Event(_) | Delivery::Lagged => Box::pin(self.catch_up(registry)).await?,
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
    }

    /// Whether no event was missed before this one. A cluster's deletion is in no history, so it always counts.
    fn comes_next(&self, event: &Event) -> bool {
        event.revision <= self.from || event.kind == EventKind::ClusterDeleted
    }

    async fn catch_up(&mut self, registry: &Registry) -> Result<Option<Outcome>, Unavailable> {
        if let Some(outcome) = self.replay_history(registry).await? {
            return Ok(Some(outcome));
        }
        // The subscription may have missed the deletion.
        let is_gone = registry.latest_known(&self.wait.path.token).await?.is_none();
        Ok(is_gone.then_some(Outcome::AskAgain))
    }

    /// Judges the events in the history from `from` on.
    async fn replay_history(&mut self, registry: &Registry) -> Result<Option<Outcome>, Unavailable> {
        loop {
            let page = registry.history(&self.wait.path.token, self.from).await?;
            match page.first() {
                None => return Ok(None),
                Some(oldest) if oldest.revision > self.from => {
                    return Ok(Some(Outcome::Compacted { oldest: oldest.revision }));
                }
                Some(_) => {}
            }
            for event in page {
                if let Some(outcome) = self.judge(event) {
                    return Ok(Some(outcome));
                }
            }
        }
    }

    fn judge(&mut self, event: Arc<Event>) -> Option<Outcome> {
        if event.revision < self.from {
            return None;
        }
        self.from = event.revision.next();
        match self.wait.judge(&event) {
            Verdict::Answer => Some(Outcome::Event(event)),
            Verdict::AskAgain => Some(Outcome::AskAgain),
            Verdict::PassOver => None,
        }
    }
}
