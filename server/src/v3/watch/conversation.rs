use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use convene_etcd::wire::{
    WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use convene_lifecycle::{Revision, Token};
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, AbortHandle, SelectAll, abortable},
};
use tokio::time::{Instant, Interval, interval_at};
use tonic::{Status, Streaming};
use tracing::Span;

use super::watcher::{Seen, Told, Wanted, Watcher};
use crate::{
    access_log::show_cluster,
    app::App,
    registry::Unavailable,
    v3::{
        error::V3Error,
        headers::{Headers, signed},
        key::KeyRange,
    },
};

/// How often a watch that asked for it is told how far it has come, if nothing else is: as often as by etcd
/// (`--watch-progress-notify-interval`).
const PROGRESS_EVERY: Duration = Duration::from_secs(600);

/// The most watches of one stream; a client may open further streams.
const MAX_WATCHES: usize = 4096;

/// The ID in answers that are about no watch, or about all of a stream (`client/v3/watch.go:InvalidWatchID`).
const NO_WATCH: i64 = -1;

/// One stream's watches (`server/etcdserver/api/v3rpc/watch.go:serverWatchStream`).
pub struct Conversation {
    app: Arc<App>,
    headers: Headers,
    requests: Streaming<WatchRequest>,
    /// The request in the log, until it shows the cluster of its first watch.
    request: Option<Span>,
    /// Whether the client will ask for nothing more.
    is_half_closed: bool,
    watches: BTreeMap<i64, Open>,
    seen: SelectAll<SeenByOne>,
    /// The lowest ID that was not given to a watch yet.
    next_id: i64,
    wants_progress: bool,
    /// Answers that are ready to be sent: at most one for each watch.
    ready: VecDeque<WatchResponse>,
    ticks: Option<Interval>,
}

/// What one watch comes to, with its ID.
type SeenByOne = Pin<Box<dyn Stream<Item = (i64, Seen)> + Send>>;

/// A watch that is not cancelled.
struct Open {
    token: Token,
    /// The revision from which it was asked for; 0: from now on.
    start: Revision,
    told: Told,
    watcher: AbortHandle,
    /// Whether to tell it regularly how far it has come.
    notify: bool,
    /// Whether it was told nothing since the last time.
    is_idle: bool,
}

/// Why there is no new watch, and where the cluster is.
struct NotCreated {
    present: Revision,
    reason: String,
}

enum Happened {
    Seen(i64, Seen),
    Asked(Option<WatchRequest>),
    Tick,
}

impl Conversation {
    /// A conversation that begins.
    pub fn new(app: Arc<App>, headers: Headers, requests: Streaming<WatchRequest>) -> Self {
        Self {
            app,
            headers,
            requests,
            request: Some(Span::current()),
            is_half_closed: false,
            watches: BTreeMap::new(),
            seen: SelectAll::new(),
            next_id: 0,
            wants_progress: false,
            ready: VecDeque::new(),
            ticks: None,
        }
    }

    /// The next answer, however long it takes; an error ends the conversation, and the client goes on in another.
    pub async fn next(&mut self) -> Result<WatchResponse, Status> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Ok(answer);
            }
            if self.wants_progress {
                // What has happened already comes before the word that nothing else has.
                match self.seen.next().now_or_never().flatten() {
                    Some((id, seen)) => self.tell(id, seen)?,
                    None => self.report_progress().await?,
                }
                continue;
            }
            match self.happens().await? {
                Happened::Seen(id, seen) => self.tell(id, seen)?,
                Happened::Asked(Some(request)) => self.ask(request).await?,
                Happened::Asked(None) => self.is_half_closed = true,
                Happened::Tick => self.notify_idle().await?,
            }
        }
    }

    async fn happens(&mut self) -> Result<Happened, Status> {
        tokio::select! {
            () = self.app.stopping.cancelled() => Err(V3Error::Stopped.into()),
            Some((id, seen)) = self.seen.next(), if !self.seen.is_empty() => Ok(Happened::Seen(id, seen)),
            request = self.requests.message(), if !self.is_half_closed => Ok(Happened::Asked(request?)),
            () = tick(&mut self.ticks) => Ok(Happened::Tick),
        }
    }

    fn tell(&mut self, id: i64, seen: Seen) -> Result<(), Status> {
        match seen {
            Seen::Events(revision, events) => {
                if let Some(open) = self.watches.get_mut(&id) {
                    open.is_idle = false;
                    let header = self.headers.at(revision);
                    self.ready.push_back(WatchResponse { header, watch_id: id, events, ..WatchResponse::default() });
                }
                Ok(())
            }
            Seen::Compacted(oldest) => {
                self.close(id);
                self.ready.push_back(WatchResponse {
                    header: self.headers.of_none(),
                    watch_id: id,
                    canceled: true,
                    compact_revision: signed(oldest),
                    ..WatchResponse::default()
                });
                Ok(())
            }
            Seen::Unavailable => Err(V3Error::from(Unavailable).into()),
        }
    }

    async fn ask(&mut self, request: WatchRequest) -> Result<(), Status> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.wants_progress = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, request: WatchCreateRequest) -> Result<(), Status> {
        let answer = match self.try_create(request).await? {
            Ok((id, present)) => {
                WatchResponse { header: self.headers.at(present), watch_id: id, ..WatchResponse::default() }
            }
            Err(NotCreated { present, reason }) => WatchResponse {
                header: self.headers.at(present),
                watch_id: NO_WATCH,
                canceled: true,
                cancel_reason: reason,
                ..WatchResponse::default()
            },
        };
        self.ready.push_back(WatchResponse { created: true, ..answer });
        Ok(())
    }

    /// A new watch's ID, and where its cluster is.
    async fn try_create(
        &mut self,
        request: WatchCreateRequest,
    ) -> Result<Result<(i64, Revision), NotCreated>, V3Error> {
        // An empty key is the first of all.
        let key = if request.key.is_empty() { vec![0] } else { request.key.clone() };
        let range = match KeyRange::parse(key, request.range_end.clone()) {
            Ok(range) => range,
            Err(error) => return Ok(Err(NotCreated::new(Revision(0), error))),
        };
        // First follow, then look: an event of in between is then seen twice, and not lost.
        let follower = self.app.registry.follow(&range.token, Revision::FIRST);
        let present = present(&self.app, &range.token).await?;
        let Ok(start) = u64::try_from(request.start_revision) else {
            return Ok(Err(NotCreated::new(present, V3Error::Compacted)));
        };
        if range.is_empty() {
            return Ok(Err(NotCreated::new(present, "mvcc: watcher range is empty")));
        }
        if self.watches.len() >= MAX_WATCHES {
            let reason = format!("a stream has at most {MAX_WATCHES} watches: cancel some, or open another stream");
            return Ok(Err(NotCreated::new(present, reason)));
        }
        let Some(id) = self.id_for(request.watch_id) else {
            return Ok(Err(NotCreated::new(present, "mvcc: duplicate watch ID provided on the WatchStream")));
        };
        let token = range.token.clone();
        let from = if start == 0 { present.next() } else { Revision(start) };
        let watcher = Watcher::new(self.app.clone(), follower, Wanted::new(range, &request), from, present);
        if let Some(first) = self.request.take() {
            show_cluster(&first, &token);
        }
        self.open(id, token, Revision(start), request.progress_notify, watcher);
        Ok(Ok((id, present)))
    }

    /// The ID for a new watch: the one that is wished for, unless another watch has it, or the next for 0
    /// (`server/storage/mvcc/watcher.go:watchStream.Watch`).
    fn id_for(&mut self, wished: i64) -> Option<i64> {
        if wished != 0 {
            return (!self.watches.contains_key(&wished)).then_some(wished);
        }
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    fn open(&mut self, id: i64, token: Token, start: Revision, notify: bool, watcher: Watcher) {
        let told = watcher.told();
        let seen = stream::unfold(watcher, move |mut watcher| async move {
            let seen = watcher.next().await;
            Some(((id, seen), watcher))
        });
        let (seen, watcher) = abortable(seen);
        self.seen.push(Box::pin(seen));
        self.watches.insert(id, Open { token, start, told, watcher, notify, is_idle: true });
        if notify && self.ticks.is_none() {
            self.ticks = Some(interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY));
        }
    }

    /// Nothing is answered about a watch that is not there.
    async fn cancel(&mut self, WatchCancelRequest { watch_id }: WatchCancelRequest) -> Result<(), Status> {
        let Some(closed) = self.close(watch_id) else { return Ok(()) };
        let header = self.headers.at(present(&self.app, &closed.token).await?);
        self.ready.push_back(WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() });
        Ok(())
    }

    fn close(&mut self, id: i64) -> Option<Open> {
        let closed = self.watches.remove(&id)?;
        closed.watcher.abort();
        Some(closed)
    }

    /// Says up to which revision the watches have been told everything: in one answer for all if they are of one
    /// cluster, because clusters count apart. Like etcd it says nothing while a watch waits for a revision that its
    /// cluster has not come to (`server/storage/mvcc/watchable_store.go:progressIfSync`).
    async fn report_progress(&mut self) -> Result<(), Status> {
        self.wants_progress = false;
        let Some(first) = self.watches.values().next() else { return Ok(()) };
        let (token, present) = (first.token.clone(), present(&self.app, &first.token).await?);
        if self.watches.values().any(|open| open.token != token) {
            return self.notify(|_| true).await;
        }
        let told = self.watches.values().map(|open| open.told.revision());
        let (least, most) = told.fold((present, present), |(least, most), told| (least.min(told), most.max(told)));
        if most == present && self.watches.values().all(|open| open.start <= present) {
            let header = self.headers.at(least);
            self.ready.push_back(WatchResponse { header, watch_id: NO_WATCH, ..WatchResponse::default() });
        }
        Ok(())
    }

    async fn notify_idle(&mut self) -> Result<(), Status> {
        self.notify(|open| open.notify && open.is_idle).await?;
        self.watches.values_mut().for_each(|open| open.is_idle = true);
        Ok(())
    }

    async fn notify(&mut self, whom: impl Fn(&Open) -> bool) -> Result<(), Status> {
        for (id, open) in self.watches.iter().filter(|(_, open)| whom(open)) {
            let (told, present) = (open.told.revision(), present(&self.app, &open.token).await?);
            if told <= present && open.start <= present {
                let header = self.headers.at(told);
                self.ready.push_back(WatchResponse { header, watch_id: *id, ..WatchResponse::default() });
            }
        }
        Ok(())
    }
}

impl NotCreated {
    fn new(present: Revision, reason: impl ToString) -> Self {
        Self { present, reason: reason.to_string() }
    }
}

async fn present(app: &App, token: &Token) -> Result<Revision, V3Error> {
    let snapshot = app.registry.cluster(token).await?;
    Ok(snapshot.map_or(Revision(0), |snapshot| snapshot.cluster.revision))
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
