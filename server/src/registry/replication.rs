//! What other servers of the database write, for those who wait for it here.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_lifecycle::{Cluster, Event, Revision, Token};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Snapshot, SnapshotCache,
    clock::{Clock, TOLERANCE},
    watch_hub::{DeliveredState, WatchHub},
};
use crate::store::{Notification, NotificationListener, Stamp, Store, StoreError};

/// How often one looks for what was not announced, or not heard.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often one looks while nothing can be heard.
const POLL_INTERVAL_DISCONNECTED: Duration = Duration::from_millis(500);

/// How often a database that is away is tried again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

/// How many clusters are looked up with one query.
const POLL_BATCH: usize = 1_000;

/// How many changed clusters may wait to be announced; the others find further ones by looking.
const QUEUE: usize = 4_096;

/// The most events that are read at a time.
const PAGE: u32 = 64;

/// Tells the other servers of the database which clusters have changed.
#[derive(Clone)]
pub(super) struct Notifier {
    changed: mpsc::Sender<Token>,
}

/// Brings events that other servers have written to those who wait for them.
#[derive(Clone)]
pub(super) struct Replication {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) watch_hub: Arc<WatchHub>,
}

impl Notifier {
    /// Tells of changes, soon, and nobody waits for it.
    pub fn notify(&self, changed: impl Iterator<Item = Token>) {
        for token in changed {
            // Where the queue is full, others find out by looking.
            let _ = self.changed.try_send(token);
        }
    }
}

impl Replication {
    /// Begins to listen to the other servers and to tell them of changes, for as long as the tasks are there.
    pub fn start(self, tasks: &mut JoinSet<()>) -> Notifier {
        let own = uuid::Uuid::now_v7().simple().to_string();
        let (changed, queue) = mpsc::channel(QUEUE);
        let (disconnected, is_disconnected) = watch::channel(true);
        tasks.spawn(send_notifications(self.store.clone(), own.clone(), queue));
        tasks.spawn(self.clone().listen_for_notifications(own, disconnected));
        tasks.spawn(self.clone().reconnect());
        tasks.spawn(self.poll_revisions(is_disconnected));
        Notifier { changed }
    }

    async fn listen_for_notifications(self, own: String, disconnected: watch::Sender<bool>) {
        loop {
            match self.store.listen(&own).await {
                Ok(Some(listener)) => {
                    disconnected.send_replace(false);
                    let why = self.receive_until_error(listener).await;
                    disconnected.send_replace(true);
                    tracing::warn!(
                        "not listening to other servers, because {why}; looking for what they write until it is mended"
                    );
                }
                Ok(None) => return,
                // While the database is away, it has been logged.
                Err(error) => tracing::debug!(%error, "can't listen to other servers"),
            }
            sleep(POLL_INTERVAL_DISCONNECTED).await;
        }
    }

    /// Hears of changes until that fails, and says why.
    async fn receive_until_error(&self, mut listener: NotificationListener) -> String {
        // What was announced before now was not heard.
        self.catch_up_all().await;
        loop {
            match listener.next().await {
                Ok(Notification::Changed(tokens)) => self.catch_up_or_log(&tokens).await,
                Ok(Notification::ConnectionLost) => return "the connection is lost".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Looks for what was not announced, or not heard, and at the database's clock.
    async fn poll_revisions(self, mut is_disconnected: watch::Receiver<bool>) {
        loop {
            let pause = if *is_disconnected.borrow_and_update() { POLL_INTERVAL_DISCONNECTED } else { POLL_INTERVAL };
            // Who has just lost its connection looks at once: nobody knows since when nothing was heard.
            let _ = timeout(pause, is_disconnected.changed()).await;
            self.catch_up_all().await;
            self.sync_clock().await;
        }
    }

    /// Goes by the database's clock, if it can be asked and answers at once; says whether it does.
    pub async fn sync_clock(&self) -> bool {
        let asked = Instant::now();
        match self.store.clock().await {
            Ok(Some(now)) if asked.elapsed() < TOLERANCE => {
                self.clock.set(now);
                true
            }
            _ => false,
        }
    }

    /// Tries to reach a database that is away, for all who want to know.
    async fn reconnect(self) {
        loop {
            sleep(RECONNECT_INTERVAL).await;
            self.store.reconnect().await;
        }
    }

    async fn catch_up_all(&self) {
        for tokens in self.watch_hub.watched_tokens().chunks(POLL_BATCH) {
            self.catch_up_or_log(tokens).await;
        }
    }

    async fn catch_up_or_log(&self, tokens: &[Token]) {
        if let Err(error) = self.catch_up(tokens).await {
            tracing::debug!(%error, "can't read what other servers have written; looking again soon");
        }
    }

    /// Brings those who wait for some clusters up to what is in the database.
    async fn catch_up(&self, tokens: &[Token]) -> Result<(), StoreError> {
        // How far they are is read first: what was told before the database is asked, it knows.
        let delivered: HashMap<&Token, DeliveredState> =
            tokens.iter().filter_map(|token| Some((token, self.watch_hub.delivered(token)?))).collect();
        let open: Vec<Token> = delivered.keys().map(|token| (*token).clone()).collect();
        let stamps = self.store.stamps(&open).await?;
        for (token, delivered) in delivered {
            let present = stamps.get(token).copied();
            if delivered.stamp() == Some(present) {
                continue;
            }
            match self.catch_up_one(token, &delivered, present).await {
                Err(error) if error.is_transient() => return Err(error),
                // A cluster that can't be read must not keep news from those who wait for others.
                Err(error) => tracing::debug!(%error, "can't read what another server has written to {token}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn catch_up_one(
        &self,
        token: &Token,
        delivered: &DeliveredState,
        present: Option<Stamp>,
    ) -> Result<(), StoreError> {
        if present.is_none() {
            self.cache.remove(token);
            self.deliver_deletion(token, delivered);
            return Ok(());
        }
        // Deleted meanwhile: the next look finds that.
        let Some(cluster) = self.store.load(token).await? else { return Ok(()) };
        let from = match delivered {
            DeliveredState::Cluster(old) if old.created_at == cluster.created_at => old.revision.next(),
            DeliveredState::Cluster(_) | DeliveredState::NoCluster | DeliveredState::Unknown => Revision::FIRST,
        };
        let events = match delivered {
            DeliveredState::Unknown => Vec::new(),
            _ => self.events(token, from, cluster.revision).await?,
        };
        let cluster = Arc::new(cluster);
        self.cache_snapshot(&cluster);
        self.watch_hub.publish_replicated(token, delivered, &events, Some(&cluster));
        Ok(())
    }

    /// Takes over what those who wait are about to be delivered, so that nobody who asks while the database is away hears less.
    fn cache_snapshot(&self, cluster: &Arc<Cluster>) {
        let is_later = |cached: Arc<Snapshot>| cached.stamp().is_before(Stamp::of(cluster));
        if self.cache.peek(&cluster.token).is_none_or(is_later) {
            self.cache.insert(cluster.token.clone(), Arc::new(Snapshot::new(cluster.clone())));
        }
    }

    async fn events(&self, token: &Token, from: Revision, to: Revision) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut events: Vec<Arc<Event>> = Vec::new();
        loop {
            let from = events.last().map_or(from, |last| last.revision.next());
            let page = self.store.events(token, from, PAGE).await?;
            let is_last = page.len() < PAGE as usize || from > to;
            events.extend(page.into_iter().filter(|event| event.revision <= to));
            if is_last || events.last().is_none_or(|last| last.revision >= to) {
                return Ok(events);
            }
        }
    }

    /// Tells those who wait for a cluster that another server has deleted it. Its last event is in no history, so it is
    /// made from the last that somebody here has seen of it: whoever has seen more than was told waits for what comes after that.
    fn deliver_deletion(&self, token: &Token, delivered: &DeliveredState) {
        let deletion = match self.watch_hub.latest_state(token) {
            Some(DeliveredState::Cluster(cluster)) => cluster.delete(self.clock.now()).events,
            _ => Vec::new(),
        };
        let deletion: Vec<Arc<Event>> = deletion.into_iter().map(Arc::new).collect();
        self.watch_hub.publish_replicated(token, delivered, &deletion, None);
    }
}

/// Announces changes, as many as are waiting at a time.
async fn send_notifications(store: Arc<Store>, own: String, mut queue: mpsc::Receiver<Token>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, QUEUE).await > 0 {
        let changed: HashSet<Token> = mem::take(&mut waiting).into_iter().collect();
        let changed: Vec<Token> = changed.into_iter().collect();
        if let Err(error) = store.notify(&own, &changed).await {
            tracing::debug!(%error, "can't announce a change; other servers find it by looking");
        }
    }
}
