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
    topics::{Told, Topics},
};
use crate::store::{Announced, Announcements, Stamp, Store, StoreError};

/// How often one looks for what was not announced, or not heard.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often one looks while nothing can be heard.
const LOOK_EVERY_WHEN_DEAF: Duration = Duration::from_millis(500);

/// How often a database that is away is tried again.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// How many clusters are looked up with one query.
const LOOK_BATCH: usize = 1_000;

/// How many changed clusters may wait to be announced; the others find further ones by looking.
const QUEUE: usize = 4_096;

/// The most events that are read at a time.
const PAGE: u32 = 64;

/// Tells the other servers of the database which clusters have changed.
#[derive(Clone)]
pub(super) struct Announcer {
    changed: mpsc::Sender<Token>,
}

/// Brings events that other servers have written to those who wait for them.
#[derive(Clone)]
pub(super) struct Others {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) cache: Arc<SnapshotCache>,
    pub(super) topics: Arc<Topics>,
}

impl Announcer {
    /// Tells of changes, soon, and nobody waits for it.
    pub fn announce(&self, changed: impl Iterator<Item = Token>) {
        for token in changed {
            // Where the queue is full, others find out by looking.
            let _ = self.changed.try_send(token);
        }
    }
}

impl Others {
    /// Begins to listen to the other servers and to tell them of changes, for as long as the tasks are there.
    pub fn start(self, tasks: &mut JoinSet<()>) -> Announcer {
        let own = uuid::Uuid::now_v7().simple().to_string();
        let (changed, queue) = mpsc::channel(QUEUE);
        let (deaf, is_deaf) = watch::channel(true);
        tasks.spawn(announce_all(self.store.clone(), own.clone(), queue));
        tasks.spawn(self.clone().listen(own, deaf));
        tasks.spawn(self.clone().try_again());
        tasks.spawn(self.look(is_deaf));
        Announcer { changed }
    }

    async fn listen(self, own: String, deaf: watch::Sender<bool>) {
        loop {
            match self.store.announcements(&own).await {
                Ok(Some(announcements)) => {
                    deaf.send_replace(false);
                    let why = self.hear(announcements).await;
                    deaf.send_replace(true);
                    tracing::warn!(
                        "not listening to other servers, because {why}; looking for what they write until it is mended"
                    );
                }
                Ok(None) => return,
                // While the database is away, it has been logged.
                Err(error) => tracing::debug!(%error, "can't listen to other servers"),
            }
            sleep(LOOK_EVERY_WHEN_DEAF).await;
        }
    }

    /// Hears of changes until that fails, and says why.
    async fn hear(&self, mut announcements: Announcements) -> String {
        // What was announced before now was not heard.
        self.import_all().await;
        loop {
            match announcements.next().await {
                Ok(Announced::Changed(tokens)) => self.import_or_log(&tokens).await,
                Ok(Announced::Missed) => return "the connection is lost".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Looks for what was not announced, or not heard, and at the database's clock.
    async fn look(self, mut is_deaf: watch::Receiver<bool>) {
        loop {
            let pause = if *is_deaf.borrow_and_update() { LOOK_EVERY_WHEN_DEAF } else { LOOK_EVERY };
            // Who has just lost its connection looks at once: nobody knows since when nothing was heard.
            let _ = timeout(pause, is_deaf.changed()).await;
            self.import_all().await;
            self.set_clock().await;
        }
    }

    /// Goes by the database's clock, if it can be asked and answers at once; says whether it does.
    pub async fn set_clock(&self) -> bool {
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
    async fn try_again(self) {
        loop {
            sleep(TRY_EVERY).await;
            self.store.try_again().await;
        }
    }

    async fn import_all(&self) {
        for tokens in self.topics.open().chunks(LOOK_BATCH) {
            self.import_or_log(tokens).await;
        }
    }

    async fn import_or_log(&self, tokens: &[Token]) {
        if let Err(error) = self.import(tokens).await {
            tracing::debug!(%error, "can't read what other servers have written; looking again soon");
        }
    }

    /// Brings those who wait for some clusters up to what is in the database.
    async fn import(&self, tokens: &[Token]) -> Result<(), StoreError> {
        // How far they are is read first: what was told before the database is asked, it knows.
        let told: HashMap<&Token, Told> =
            tokens.iter().filter_map(|token| Some((token, self.topics.told(token)?))).collect();
        let open: Vec<Token> = told.keys().map(|token| (*token).clone()).collect();
        let stamps = self.store.stamps(&open).await?;
        for (token, told) in told {
            let present = stamps.get(token).copied();
            if told.stamp() == Some(present) {
                continue;
            }
            match self.import_one(token, &told, present).await {
                Err(error) if error.may_pass() => return Err(error),
                // A cluster that can't be read must not keep news from those who wait for others.
                Err(error) => tracing::debug!(%error, "can't read what another server has written to {token}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn import_one(&self, token: &Token, told: &Told, present: Option<Stamp>) -> Result<(), StoreError> {
        if present.is_none() {
            self.cache.remove(token);
            self.end(token, told);
            return Ok(());
        }
        // Deleted meanwhile: the next look finds that.
        let Some(cluster) = self.store.load(token).await? else { return Ok(()) };
        let from = match told {
            Told::Cluster(old) if old.created_at == cluster.created_at => old.revision.next(),
            Told::Cluster(_) | Told::Nothing | Told::Unknown => Revision::FIRST,
        };
        let events = match told {
            Told::Unknown => Vec::new(),
            _ => self.events(token, from, cluster.revision).await?,
        };
        let cluster = Arc::new(cluster);
        self.remember(&cluster);
        self.topics.import(token, told, &events, Some(&cluster));
        Ok(())
    }

    /// Takes over what those who wait are about to be told, so that nobody who asks while the database is away hears less.
    fn remember(&self, cluster: &Arc<Cluster>) {
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
    fn end(&self, token: &Token, told: &Told) {
        let deletion = match self.topics.last_seen(token) {
            Some(Told::Cluster(cluster)) => cluster.delete(self.clock.now()).events,
            _ => Vec::new(),
        };
        let deletion: Vec<Arc<Event>> = deletion.into_iter().map(Arc::new).collect();
        self.topics.import(token, told, &deletion, None);
    }
}

/// Announces changes, as many as are waiting at a time.
async fn announce_all(store: Arc<Store>, own: String, mut queue: mpsc::Receiver<Token>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, QUEUE).await > 0 {
        let changed: HashSet<Token> = mem::take(&mut waiting).into_iter().collect();
        let changed: Vec<Token> = changed.into_iter().collect();
        if let Err(error) = store.announce(&own, &changed).await {
            tracing::debug!(%error, "can't announce a change; other servers find it by looking");
        }
    }
}
