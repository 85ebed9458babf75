use std::{collections::HashSet, mem, sync::Arc};

use convene_lifecycle::Token;
use tokio::sync::{mpsc, oneshot};

use super::Unavailable;
use crate::store::{Stamp, Store};

/// The most checks in one query.
const BATCH: usize = 512;

/// The length of the queue of checks. Callers beyond it wait for a place.
const QUEUE: usize = 4096;

/// Asks the database which state of a cluster is the present one, so that a server can answer from memory although other
/// servers write to the database (compare Raft's ReadIndex). Checks that arrive at the same time share one query.
pub(super) struct Freshness {
    checks: mpsc::Sender<Check>,
}

struct Check {
    token: Token,
    caller: oneshot::Sender<Result<Option<Stamp>, Unavailable>>,
}

impl Freshness {
    /// Starts the task that answers checks. It ends when this is dropped and the last check is answered.
    pub fn start(store: Arc<Store>) -> Self {
        let (checks, queue) = mpsc::channel(QUEUE);
        tokio::spawn(answer_all(store, queue));
        Self { checks }
    }

    /// The stamp of a cluster at some time after this call; `None` if there is no such cluster.
    pub async fn stamp(&self, token: &Token) -> Result<Option<Stamp>, Unavailable> {
        let (caller, stamp) = oneshot::channel();
        self.checks.send(Check { token: token.clone(), caller }).await.map_err(|_| Unavailable)?;
        stamp.await.map_err(|_| Unavailable)?
    }
}

async fn answer_all(store: Arc<Store>, mut queue: mpsc::Receiver<Check>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let checks = mem::take(&mut waiting);
        let tokens: HashSet<&Token> = checks.iter().map(|check| &check.token).collect();
        let tokens: Vec<Token> = tokens.into_iter().cloned().collect();
        // If the database is down, the store has logged that.
        let stamps = store.stamps(&tokens).await.map_err(|_| Unavailable);
        for Check { token, caller } in checks {
            let stamp = stamps.as_ref().map(|stamps| stamps.get(&token).copied()).map_err(|unavailable| *unavailable);
            // This fails if the client has gone.
            let _ = caller.send(stamp);
        }
    }
}
