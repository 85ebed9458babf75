//! Follows what other servers on the same database write, for the clients that wait for it here.
//!
//! A server notifies the others of each change (PostgreSQL's NOTIFY). A notification can get lost, so every server also polls
//! the revisions of the clusters that its clients wait for.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_lifecycle::{Event, Revision, Token};
use tokio::{
    select,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Snapshot, SnapshotCache,
    clock::Clock,
    watch_hub::{DeliveredState, KnownStates, WatchHub},
};
use crate::{
    metrics::RegistryMetrics,
    store::{Notification, NotificationListener, Stamp, Store, StoreError},
};

/// How often the revisions are polled, in case a notification got lost.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often the revisions are polled while no notifications arrive.
const POLL_INTERVAL_DISCONNECTED: Duration = Duration::from_millis(500);

/// How often a server notifies itself, to find out whether notifications arrive.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How long such a notification may take. A connection on which it takes longer is replaced: a firewall may have forgotten it, and
/// nobody reports that to a connection that only receives.
const BEAT_LIMIT: Duration = Duration::from_secs(3);

/// How often a server tries to reach a database that is down.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

/// The most clusters in one query for revisions.
const POLL_BATCH: usize = 1_000;

/// The length of the queue of notifications. The other servers find changes beyond it by polling.
const QUEUE: usize = 4_096;

/// The most events that one query reads.
const PAGE: u32 = 64;

/// Notifies the other servers of the database of changed clusters.
#[derive(Clone)]
pub(super) struct Notifier {
    changed: mpsc::Sender<Token>,
    behind: mpsc::Sender<Token>,
}

/// Delivers the events of other servers to the clients of this one.
#[derive(Clone)]
pub(super) struct Replication {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) watch_hub: Arc<WatchHub>,
    pub(super) metrics: Arc<RegistryMetrics>,
}

impl Notifier {
    /// Queues notifications of changed clusters. Does not wait.
    pub fn notify(&self, changed: impl Iterator<Item = Token>) {
        for token in changed {
            // If the queue is full, the others find the change by polling.
            let _ = self.changed.try_send(token);
        }
    }

    /// Has this server's own clients catch up with a cluster. Does not wait.
    pub fn catch_up(&self, behind: Token) {
        // If the queue is full, polling finds the change.
        let _ = self.behind.try_send(behind);
    }
}

impl Replication {
    /// Starts the tasks.
    pub fn start(self, tasks: &mut JoinSet<()>) -> Notifier {
        let own = uuid::Uuid::now_v7().simple().to_string();
        let (changed, queue) = mpsc::channel(QUEUE);
        let (behind, of_behind) = mpsc::channel(QUEUE);
        let (disconnected, is_disconnected) = watch::channel(true);
        tasks.spawn(send_notifications(self.store.clone(), own.clone(), queue));
        tasks.spawn(self.clone().listen_for_notifications(own, disconnected));
        tasks.spawn(self.clone().reconnect());
        tasks.spawn(self.clone().catch_up_after_own_writes(of_behind));
        tasks.spawn(self.poll_revisions(is_disconnected));
        Notifier { changed, behind }
    }

    async fn listen_for_notifications(self, own: String, disconnected: watch::Sender<bool>) {
        loop {
            match self.store.listen(&own).await {
                Ok(Some(listener)) => {
                    let error = self.receive_until_error(listener, &own, &disconnected).await;
                    self.metrics.set_notified(false);
                    disconnected.send_replace(true);
                    tracing::warn!(%error, "lost the notifications of other servers; polling the database until they are back");
                }
                Ok(None) => return,
                // If the database is down, that has been logged.
                Err(error) => tracing::debug!(%error, "can't listen for notifications of other servers"),
            }
            sleep(POLL_INTERVAL_DISCONNECTED).await;
        }
    }

    /// Catches up with each change of which a notification arrives. Returns the error that ends this.
    async fn receive_until_error(
        &self,
        mut listener: NotificationListener,
        own: &str,
        disconnected: &watch::Sender<bool>,
    ) -> String {
        // Earlier notifications did not arrive.
        self.catch_up_all().await;
        let (changed, mut queue) = mpsc::channel(QUEUE);
        let (heard, beats) = watch::channel(0);
        let receiving = async {
            loop {
                match listener.next().await {
                    // If the queue is full, polling finds the change.
                    Ok(Notification::Changed(tokens)) => drop(changed.try_send(tokens)),
                    Ok(Notification::Beat(number)) => drop(heard.send_replace(number)),
                    Ok(Notification::ConnectionLost) => return "the connection was lost".to_owned(),
                    Err(error) => return error.to_string(),
                }
            }
        };
        // Apart from the receiving, which a slow database must not delay.
        let catching_up = async {
            let mut waiting = Vec::new();
            while queue.recv_many(&mut waiting, QUEUE).await > 0 {
                let tokens: HashSet<Token> = waiting.drain(..).flatten().collect();
                self.catch_up_or_log(&Vec::from_iter(tokens)).await;
            }
        };
        select! {
            error = receiving => error,
            error = self.beat_until_unheard(own, beats, disconnected) => error,
            () = catching_up => unreachable!("`changed` is not dropped before"),
        }
    }

    /// Notifies this server itself again and again. Returns an error when such a notification does not arrive.
    async fn beat_until_unheard(
        &self,
        own: &str,
        mut beats: watch::Receiver<u64>,
        disconnected: &watch::Sender<bool>,
    ) -> String {
        for number in 1.. {
            let sent = Instant::now();
            if let Err(error) = self.store.beat(own, number).await {
                // Nobody knows whether notifications arrive.
                if !disconnected.send_replace(true) {
                    tracing::debug!(%error, "can't notify other servers; polling the database");
                }
                self.metrics.set_notified(false);
            } else {
                if timeout(BEAT_LIMIT, beats.wait_for(|heard| *heard >= number)).await.is_err() {
                    return format!("a notification of this server itself has not arrived within {BEAT_LIMIT:?}");
                }
                self.metrics.record_notification(sent.elapsed());
                self.metrics.set_notified(true);
                disconnected.send_if_modified(mem::take);
            }
            sleep(BEAT_INTERVAL).await;
        }
        unreachable!("there are enough numbers")
    }

    /// Polls the revisions and the database's clock.
    async fn poll_revisions(self, mut is_disconnected: watch::Receiver<bool>) {
        loop {
            let pause = if *is_disconnected.borrow_and_update() { POLL_INTERVAL_DISCONNECTED } else { POLL_INTERVAL };
            // Polls at once when the connection is lost: the last notifications may be lost as well.
            let _ = timeout(pause, is_disconnected.changed()).await;
            self.catch_up_all().await;
            self.sync_clock().await;
        }
    }

    /// Sets this server's clock to the database's, however long the answer takes.
    pub async fn sync_clock(&self) {
        // If the database is down, that has been logged.
        let _ = sync_clock(&self.store, &self.clock, &self.metrics).await;
    }

    /// Tries to reach a database that is down or accepts no further connections. Meanwhile nobody else does.
    async fn reconnect(self) {
        loop {
            sleep(RECONNECT_INTERVAL).await;
            self.store.reconnect().await;
        }
    }

    async fn catch_up_after_own_writes(self, mut behind: mpsc::Receiver<Token>) {
        let mut waiting = Vec::new();
        while behind.recv_many(&mut waiting, QUEUE).await > 0 {
            let tokens: HashSet<Token> = waiting.drain(..).collect();
            self.catch_up_or_log(&Vec::from_iter(tokens)).await;
        }
    }

    async fn catch_up_all(&self) {
        for tokens in self.watch_hub.watched_tokens().chunks(POLL_BATCH) {
            self.catch_up_or_log(tokens).await;
        }
    }

    async fn catch_up_or_log(&self, tokens: &[Token]) {
        if let Err(error) = self.catch_up(tokens).await {
            tracing::debug!(%error, "can't read what other servers have written; polling again");
        }
    }

    /// Delivers what the database has of some clusters and their subscribers don't.
    async fn catch_up(&self, tokens: &[Token]) -> Result<(), StoreError> {
        let mut behind = tokens.to_vec();
        while !behind.is_empty() {
            behind = self.catch_up_once(&behind).await?;
        }
        Ok(())
    }

    /// Returns the clusters of which somebody else has delivered something meanwhile, so that it has to look again.
    async fn catch_up_once(&self, tokens: &[Token]) -> Result<Vec<Token>, StoreError> {
        // Reads the states in memory before the database: everything delivered or read by now is committed.
        let known: HashMap<&Token, KnownStates> =
            tokens.iter().filter_map(|token| Some((token, self.watch_hub.known(token)?))).collect();
        let watched: Vec<Token> = known.keys().map(|token| (*token).clone()).collect();
        let stamps = self.store.stamps(&watched).await?;
        let mut overtaken = Vec::new();
        for (token, known) in known {
            let present = stamps.get(token).copied();
            if known.delivered.stamp() == Some(present) && known.latest.stamp() == Some(present) {
                continue;
            }
            match self.catch_up_one(token, &known, present).await {
                Err(error) if error.is_transient() => return Err(error),
                // A cluster that can't be read must not hold up the others.
                Err(error) => tracing::debug!(cluster = %token, %error, "can't read what another server has written"),
                Ok(true) => {}
                Ok(false) => overtaken.push(token.clone()),
            }
        }
        Ok(overtaken)
    }

    /// Returns `false` if something else has been delivered meanwhile.
    async fn catch_up_one(
        &self,
        token: &Token,
        KnownStates { delivered, latest }: &KnownStates,
        present: Option<Stamp>,
    ) -> Result<bool, StoreError> {
        let Some(present) = present else {
            self.cache.remove(token);
            return Ok(self.watch_hub.publish_replicated_deletion(token, delivered, self.clock.now()));
        };
        // If the cluster has been deleted since, the next poll finds that.
        let Some(stored) = self.store.load(token).await? else { return Ok(true) };
        let snapshot = Arc::new(Snapshot::from(stored));
        let is_read_ahead = latest.stamp() != delivered.stamp();
        if self.is_lost(token, delivered, present).await?
            || (is_read_ahead && self.is_lost(token, latest, present).await?)
        {
            tracing::error!(
                cluster = %token,
                "the database has lost changes of a cluster that were acknowledged; its waits and watches begin again"
            );
            let age = if let DeliveredState::Cluster(known) = latest { known.age() } else { Duration::ZERO };
            self.store.suspect_missing(age);
            self.cache.insert(token.clone(), snapshot.clone());
            return Ok(self.watch_hub.forget(token, delivered, &snapshot));
        }
        let from = match delivered {
            DeliveredState::Cluster(old) if old.cluster.created_at == snapshot.cluster.created_at => {
                old.cluster.revision.next()
            }
            DeliveredState::Cluster(_) | DeliveredState::NoCluster | DeliveredState::Unknown => Revision::FIRST,
        };
        let events = match delivered {
            DeliveredState::Unknown => Vec::new(),
            _ => self.events(token, from, snapshot.cluster.revision).await?,
        };
        self.cache_snapshot(&snapshot);
        self.metrics.record_delivered(&events, self.clock.now());
        Ok(self.watch_hub.publish_replicated(token, delivered, &events, Some(&snapshot)))
    }

    /// Whether the database, whose state is `present` by now, has lost a state that was delivered or read.
    async fn is_lost(&self, token: &Token, known: &DeliveredState, present: Stamp) -> Result<bool, StoreError> {
        let old = match known {
            DeliveredState::Cluster(old) => old.stamp(),
            // A deletion that was delivered is lost if the cluster exists.
            DeliveredState::NoCluster => return Ok(self.watch_hub.has_delivered_deletion_of(token, present)),
            DeliveredState::Unknown => return Ok(false),
        };
        if old.created_at != present.created_at || old == present {
            return Ok(false);
        }
        if old.revision >= present.revision {
            return Ok(true);
        }
        let write = self.store.write_of(token, old.revision).await?;
        // A revision that has been compacted was not lost: many have followed it.
        Ok(write.is_some_and(|write| write != old.write_id))
    }

    /// Caches what is about to be delivered, so that no read goes back behind it while the database is down.
    fn cache_snapshot(&self, snapshot: &Arc<Snapshot>) {
        let token = &snapshot.cluster.token;
        let is_later = |cached: Arc<Snapshot>| cached.stamp().is_before(snapshot.stamp());
        if self.cache.peek(token).is_none_or(is_later) {
            self.cache.insert(token.clone(), snapshot.clone());
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
}

/// Sets a clock to the database's.
pub(super) async fn sync_clock(store: &Store, clock: &Clock, metrics: &RegistryMetrics) -> Result<(), StoreError> {
    /// The smallest difference that is logged.
    const NOTABLE: Duration = Duration::from_secs(1);

    let asked = Instant::now();
    let Some(now) = store.clock().await? else { return Ok(()) };
    let set_by = clock.measure(asked, Instant::now(), now);
    let uncertainty = clock.uncertainty().unwrap_or_default();
    metrics.set_clock_uncertainty(uncertainty);
    if Duration::from_millis(set_by.unsigned_abs()) > NOTABLE {
        tracing::warn!(
            milliseconds = set_by,
            ?uncertainty,
            "set this server's clock to the database's clock, because the two differed"
        );
    }
    Ok(())
}

/// Sends the queued notifications, all that are waiting at once.
async fn send_notifications(store: Arc<Store>, own: String, mut queue: mpsc::Receiver<Token>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, QUEUE).await > 0 {
        let changed: HashSet<Token> = mem::take(&mut waiting).into_iter().collect();
        let changed: Vec<Token> = changed.into_iter().collect();
        if let Err(error) = store.notify(&own, &changed).await {
            tracing::debug!(%error, "can't notify other servers of a change; they find it by polling");
        }
    }
}
