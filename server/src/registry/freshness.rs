use std::{collections::HashSet, mem, sync::Arc};

use convene_lifecycle::Token;
use tokio::sync::{mpsc, oneshot};

use super::Unavailable;
use crate::store::{Stamp, Store};

/// The most questions that share one query.
const BATCH: usize = 512;

/// How many questions may wait before further ones wait for a place in line.
const QUEUE: usize = 4096;

/// Asks the database which state of a cluster is the present one, for those who want to answer from memory although other
/// servers write to the database, too. All who ask at the same time share a query.
pub(super) struct Freshness {
    questions: mpsc::Sender<Question>,
}

struct Question {
    token: Token,
    answer: oneshot::Sender<Result<Option<Stamp>, Unavailable>>,
}

impl Freshness {
    /// Begins to answer; it ends with the last question of the last one who asks.
    pub fn start(store: Arc<Store>) -> Self {
        let (questions, queue) = mpsc::channel(QUEUE);
        tokio::spawn(answer_all(store, queue));
        Self { questions }
    }

    /// The stamp that a cluster has after the question was put, or `None` if there is no such cluster.
    pub async fn stamp(&self, token: &Token) -> Result<Option<Stamp>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { token: token.clone(), answer }).await.map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)?
    }
}

async fn answer_all(store: Arc<Store>, mut queue: mpsc::Receiver<Question>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        let questions = mem::take(&mut waiting);
        let tokens: HashSet<&Token> = questions.iter().map(|question| &question.token).collect();
        let tokens: Vec<Token> = tokens.into_iter().cloned().collect();
        // The store has logged what went wrong.
        let stamps = store.stamps(&tokens).await.map_err(|_| Unavailable);
        for Question { token, answer } in questions {
            let stamp = stamps.as_ref().map(|stamps| stamps.get(&token).copied()).map_err(|unavailable| *unavailable);
            // It fails if the client has gone meanwhile.
            let _ = answer.send(stamp);
        }
    }
}
