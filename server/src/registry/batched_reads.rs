use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use convene_lifecycle::Token;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Snapshot, Unavailable, unavailable};
use crate::store::{Stamp, Store};

/// The length of the queue of reads. Callers beyond it wait for a place.
const QUEUE: usize = 4096;

/// Reads something of clusters from the database. Reads that arrive while a query runs share the next one.
#[derive(Clone)]
pub(super) struct BatchedReads<T> {
    reads: mpsc::Sender<Read<T>>,
}

struct Read<T> {
    token: Token,
    caller: oneshot::Sender<Result<Option<T>, Unavailable>>,
}

/// What a query has found. A token that is missing has no cluster.
type Found<T> = HashMap<Token, Result<T, Unavailable>>;

/// How reads are put together.
#[derive(Clone, Copy)]
struct Limits {
    /// The most reads in one query.
    batch: usize,
    /// The most queries at the same time.
    queries: usize,
}

impl BatchedReads<Stamp> {
    /// Asks the database which state of a cluster is the present one, so that a server can answer from memory although other
    /// servers write to the database (compare Raft's ReadIndex).
    pub fn of_stamps(store: Arc<Store>) -> Self {
        Self::start(Limits { batch: 512, queries: 1 }, move |tokens| stamps(store.clone(), tokens))
    }
}

impl BatchedReads<Arc<Snapshot>> {
    /// Reads clusters in their present state. A batch is small because a cluster may have a MiB, and a second query can run so that
    /// one that takes long does not delay all others.
    pub fn of_clusters(store: Arc<Store>) -> Self {
        Self::start(Limits { batch: 32, queries: 2 }, move |tokens| clusters(store.clone(), tokens))
    }
}

impl<T: Clone + Send + 'static> BatchedReads<T> {
    /// Starts the task that answers reads. It ends when all copies of this are dropped and the last read is answered.
    fn start<F>(limits: Limits, query: impl Fn(Vec<Token>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Found<T>, Unavailable>> + Send + 'static,
    {
        let (reads, queue) = mpsc::channel(QUEUE);
        tokio::spawn(answer_all(queue, limits, query));
        Self { reads }
    }

    /// What the database has for a token at some time after this call; `None` if there is no such cluster.
    pub async fn read(&self, token: &Token) -> Result<Option<T>, Unavailable> {
        let (caller, answer) = oneshot::channel();
        self.reads.send(Read { token: token.clone(), caller }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)?
    }
}

async fn answer_all<T, F>(mut queue: mpsc::Receiver<Read<T>>, limits: Limits, query: impl Fn(Vec<Token>) -> F)
where
    T: Clone + Send + 'static,
    F: Future<Output = Result<Found<T>, Unavailable>> + Send + 'static,
{
    let queries = Arc::new(Semaphore::new(limits.queries));
    let mut waiting = Vec::with_capacity(limits.batch);
    while let Ok(permit) = queries.clone().acquire_owned().await {
        if queue.recv_many(&mut waiting, limits.batch).await == 0 {
            return;
        }
        let reads = mem::take(&mut waiting);
        let tokens: HashSet<&Token> = reads.iter().map(|read| &read.token).collect();
        let found = query(tokens.into_iter().cloned().collect());
        tokio::spawn(async move {
            answer(reads, found.await);
            drop(permit);
        });
    }
}

fn answer<T: Clone>(reads: Vec<Read<T>>, found: Result<Found<T>, Unavailable>) {
    for Read { token, caller } in reads {
        let answer = found.as_ref().map_err(|unavailable| *unavailable);
        let answer = answer.and_then(|found| found.get(&token).cloned().transpose());
        // This fails if the client has gone.
        let _ = caller.send(answer);
    }
}

async fn stamps(store: Arc<Store>, tokens: Vec<Token>) -> Result<Found<Stamp>, Unavailable> {
    // If the database is down, the store has logged that.
    let stamps = store.stamps(&tokens).await.map_err(|_| Unavailable)?;
    Ok(stamps.into_iter().map(|(token, stamp)| (token, Ok(stamp))).collect())
}

async fn clusters(store: Arc<Store>, tokens: Vec<Token>) -> Result<Found<Arc<Snapshot>>, Unavailable> {
    let loaded = store.load_all(&tokens).await.map_err(unavailable)?;
    let clusters = loaded.clusters.into_iter().map(|stored| {
        let snapshot = Arc::new(Snapshot::from(stored));
        (snapshot.cluster.token.clone(), Ok(snapshot))
    });
    let corrupt = loaded.corrupt.into_iter().map(|(token, error)| (token, Err(unavailable(error))));
    Ok(clusters.chain(corrupt).collect())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn reads_that_wait_share_a_query_and_one_that_fails_does_not_fail_the_others() {
        let (queried, mut queries) = unbounded_channel();
        let reads = BatchedReads::start(Limits { batch: 100, queries: 1 }, move |tokens: Vec<Token>| {
            queried.send(tokens.len()).unwrap();
            let found = |token: Token| match token.as_str() {
                "missing" => None,
                "corrupt" => Some((token, Err(Unavailable))),
                name => Some((token.clone(), Ok(name.len()))),
            };
            let found: Found<usize> = tokens.into_iter().filter_map(found).collect();
            async { Ok(found) }
        });
        let tokens = ["a", "missing", "bb", "corrupt", "bb"].map(|token| token.parse().unwrap());
        let answers = join_all(tokens.iter().map(|token| reads.read(token))).await;
        assert_eq!(answers, [Ok(Some(1)), Ok(None), Ok(Some(2)), Err(Unavailable), Ok(Some(2))]);
        assert_eq!((queries.recv().await, queries.try_recv().ok()), (Some(4), None));
    }
}
