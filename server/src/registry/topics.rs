use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use convene_lifecycle::{Event, EventKind, Token};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// How many events a subscriber may be behind before it has to look into the history instead.
const BACKLOG: usize = 16;

/// Carries events from the committer to those who wait for them: one channel for each cluster that
/// somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Topics {
    open: Mutex<HashMap<Token, broadcast::Sender<Arc<Event>>>>,
}

/// One waiter's place at a cluster's events.
#[derive(Debug)]
pub struct Subscription {
    token: Token,
    /// `None` only while it is being dropped.
    events: Option<broadcast::Receiver<Arc<Event>>>,
    topics: Arc<Topics>,
}

/// What a subscriber hears next.
#[derive(Debug)]
pub enum Heard {
    /// An event.
    Event(Arc<Event>),
    /// There were more events than it could take; the history has them.
    Missed,
}

impl Topics {
    pub(super) fn subscribe(self: &Arc<Self>, token: &Token) -> Subscription {
        let mut open = self.lock();
        let topic = open.entry(token.clone()).or_insert_with(|| broadcast::channel(BACKLOG).0);
        Subscription { token: token.clone(), events: Some(topic.subscribe()), topics: self.clone() }
    }

    pub(super) fn publish(&self, event: &Arc<Event>) {
        if let Some(topic) = self.lock().get(&event.token) {
            // It fails only if nobody waits any more, and then nobody misses it.
            let _ = topic.send(event.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, broadcast::Sender<Arc<Event>>>> {
        self.open.lock().expect("no holder panics")
    }
}

impl Subscription {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Heard {
        let events = self.events.as_mut().expect("present until dropped");
        match events.recv().await {
            Ok(event) => Heard::Event(event),
            // A topic stays open while it has subscribers, so that `Closed` is never seen.
            Err(RecvError::Lagged(_) | RecvError::Closed) => Heard::Missed,
        }
    }

    /// Looks for the cluster's deletion in what was heard already, and drops what came before it.
    pub fn deletion(&mut self) -> Option<Arc<Event>> {
        let events = self.events.as_mut().expect("present until dropped");
        loop {
            match events.try_recv() {
                Ok(event) if event.kind == EventKind::ClusterDeleted => return Some(event),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut open = self.topics.lock();
        self.events = None;
        if open.get(&self.token).is_some_and(|topic| topic.receiver_count() == 0) {
            open.remove(&self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_with_its_last_subscriber() {
        let topics = Arc::new(Topics::default());
        let token: Token = "prod".parse().unwrap();
        let (one, two) = (topics.subscribe(&token), topics.subscribe(&token));
        drop(one);
        assert_eq!(topics.lock().len(), 1);
        drop(two);
        assert!(topics.lock().is_empty());
    }
}
