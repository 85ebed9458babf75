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

use super::watcher::{EventFilter, Progress, WatchStep, Watcher};
use crate::{
    access::Standing,
    app::App,
    connection::{ClientAddress, Wait},
    current_request::CurrentRequest,
    metrics::WaitKind,
    registry::Unavailable,
    v3::{
        error::V3Error,
        headers::{Headers, signed},
        key::KeyRange,
    },
    waiting::OpenWait,
};

/// How often an idle watch gets a progress notification if it asked for them: etcd's default
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
    client: Option<ClientAddress>,
    standing: Standing,
    /// Counts the stream, and its first watch.
    _held: Wait,
    requests: Streaming<WatchRequest>,
    /// The request in the log, until it shows the cluster of its first watch.
    request: Option<CurrentRequest>,
    /// Whether the client will ask for nothing more.
    is_half_closed: bool,
    watches: BTreeMap<i64, OpenWatch>,
    steps: SelectAll<WatchSteps>,
    /// The lowest ID that was not given to a watch yet.
    next_id: i64,
    wants_progress: bool,
    /// Answers that are ready to be sent: at most one for each watch.
    ready: VecDeque<WatchResponse>,
    ticks: Option<Interval>,
}

/// The steps of one watch, with its ID.
type WatchSteps = Pin<Box<dyn Stream<Item = (i64, WatchStep)> + Send>>;

/// A watch that is not cancelled.
struct OpenWatch {
    token: Token,
    /// The revision from which it was asked for; 0: from now on.
    start: Revision,
    progress: Progress,
    watcher: AbortHandle,
    /// Whether it gets progress notifications.
    notify: bool,
    /// Whether it received nothing since the last notification.
    is_idle: bool,
    /// Counts as open until this is dropped.
    _open: Option<OpenWait>,
    /// Counts the watch, unless the stream does.
    _held: Option<Wait>,
}

/// Why a watch was not created, and the cluster's revision.
struct NotCreated {
    present: Revision,
    reason: String,
}

enum Input {
    Step(i64, WatchStep),
    Request(Option<WatchRequest>),
    Tick,
}

impl Conversation {
    /// A conversation that begins.
    pub fn new(
        app: Arc<App>,
        headers: Headers,
        client: Option<ClientAddress>,
        standing: Standing,
        held: Wait,
        requests: Streaming<WatchRequest>,
    ) -> Self {
        Self {
            app,
            headers,
            client,
            standing,
            _held: held,
            requests,
            request: CurrentRequest::of_task(),
            is_half_closed: false,
            watches: BTreeMap::new(),
            steps: SelectAll::new(),
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
                self.standing.check(&self.app).await.map_err(V3Error::from)?;
                return Ok(answer);
            }
            if self.wants_progress {
                // Events that are available go out before the progress.
                match self.steps.next().now_or_never().flatten() {
                    Some((id, step)) => self.respond(id, step)?,
                    None => self.report_progress().await?,
                }
                continue;
            }
            match self.next_input().await? {
                Input::Step(id, step) => self.respond(id, step)?,
                Input::Request(Some(request)) => self.handle(request).await?,
                Input::Request(None) => self.is_half_closed = true,
                Input::Tick => self.notify_idle().await?,
            }
        }
    }

    async fn next_input(&mut self) -> Result<Input, Status> {
        tokio::select! {
            () = self.app.stopping.cancelled() => Err(V3Error::Stopped.into()),
            denial = self.standing.ended(&self.app) => Err(V3Error::from(denial).into()),
            Some((id, step)) = self.steps.next(), if !self.steps.is_empty() => Ok(Input::Step(id, step)),
            request = self.requests.message(), if !self.is_half_closed => Ok(Input::Request(request?)),
            () = tick(&mut self.ticks) => Ok(Input::Tick),
        }
    }

    fn respond(&mut self, id: i64, step: WatchStep) -> Result<(), Status> {
        match step {
            WatchStep::Events(revision, events) => {
                if let Some(open) = self.watches.get_mut(&id) {
                    open.is_idle = false;
                    let header = self.headers.at(revision);
                    self.ready.push_back(WatchResponse { header, watch_id: id, events, ..WatchResponse::default() });
                }
                Ok(())
            }
            WatchStep::Compacted(oldest) => {
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
            WatchStep::Unavailable => Err(V3Error::from(Unavailable).into()),
        }
    }

    async fn handle(&mut self, request: WatchRequest) -> Result<(), Status> {
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
        // Follow before reading: an event in between is delivered twice rather than lost.
        let follower = self.app.registry.follow(&range.token, Revision::FIRST, WaitKind::V3);
        let present = present(&self.app, &range.token).await?;
        let Ok(start) = u64::try_from(request.start_revision) else {
            return Ok(Err(NotCreated::new(present, V3Error::Compacted)));
        };
        if range.is_empty() {
            return Ok(Err(NotCreated::new(present, "mvcc: watcher range is empty")));
        }
        if self.watches.len() >= MAX_WATCHES {
            let reason =
                format!("a stream can have at most {MAX_WATCHES} watches; cancel some, or open another stream");
            return Ok(Err(NotCreated::new(present, reason)));
        }
        let held = if self.watches.is_empty() { None } else { Some(self.app.limits.wait(self.client)) };
        let held = match held.transpose() {
            Ok(held) => held,
            Err(too_many) => return Ok(Err(NotCreated::new(present, too_many))),
        };
        let Some(id) = self.id_for(request.watch_id) else {
            return Ok(Err(NotCreated::new(present, "mvcc: duplicate watch ID provided on the WatchStream")));
        };
        let token = range.token.clone();
        let from = if start == 0 { present.next() } else { Revision(start) };
        let watcher = Watcher::new(self.app.clone(), follower, EventFilter::new(range, &request), from, present);
        if let Some(first) = self.request.take() {
            first.show_cluster(&token);
        }
        self.open(id, token, Revision(start), request.progress_notify, watcher, held);
        Ok(Ok((id, present)))
    }

    /// The ID for a new watch: the requested one, unless another watch has it, or the next for 0
    /// (`server/storage/mvcc/watcher.go:watchStream.Watch`).
    fn id_for(&mut self, requested: i64) -> Option<i64> {
        if requested != 0 {
            return (!self.watches.contains_key(&requested)).then_some(requested);
        }
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    fn open(&mut self, id: i64, token: Token, start: Revision, notify: bool, watcher: Watcher, _held: Option<Wait>) {
        let progress = watcher.progress();
        let steps = stream::unfold(watcher, move |mut watcher| async move {
            let step = watcher.next().await;
            Some(((id, step), watcher))
        });
        let (steps, watcher) = abortable(steps);
        self.steps.push(Box::pin(steps));
        let _open = self.client.map(|client| self.app.waiting.wait(&token, client.connection()));
        self.watches.insert(id, OpenWatch { token, start, progress, watcher, notify, is_idle: true, _open, _held });
        if notify && self.ticks.is_none() {
            self.ticks = Some(interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY));
        }
    }

    /// There is no response about a watch that does not exist.
    async fn cancel(&mut self, WatchCancelRequest { watch_id }: WatchCancelRequest) -> Result<(), Status> {
        let Some(closed) = self.close(watch_id) else { return Ok(()) };
        let header = self.headers.at(present(&self.app, &closed.token).await?);
        self.ready.push_back(WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() });
        Ok(())
    }

    fn close(&mut self, id: i64) -> Option<OpenWatch> {
        let closed = self.watches.remove(&id)?;
        closed.watcher.abort();
        Some(closed)
    }

    /// Reports the progress of the watches: in one response if all are of one cluster, because each cluster has its own
    /// revisions. Like etcd it sends nothing while a watch waits for a revision that its cluster has not reached
    /// (`server/storage/mvcc/watchable_store.go:progressIfSync`).
    async fn report_progress(&mut self) -> Result<(), Status> {
        self.wants_progress = false;
        let Some(first) = self.watches.values().next() else { return Ok(()) };
        let (token, present) = (first.token.clone(), present(&self.app, &first.token).await?);
        if self.watches.values().any(|open| open.token != token) {
            return self.notify(|_| true).await;
        }
        let progress = self.watches.values().map(|open| open.progress.revision());
        let (least, most) = progress.fold((present, present), |(least, most), at| (least.min(at), most.max(at)));
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

    async fn notify(&mut self, whom: impl Fn(&OpenWatch) -> bool) -> Result<(), Status> {
        for (id, open) in self.watches.iter().filter(|(_, open)| whom(open)) {
            let (progress, present) = (open.progress.revision(), present(&self.app, &open.token).await?);
            if progress <= present && open.start <= present {
                let header = self.headers.at(progress);
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
    let known = app.registry.latest_known(token).await?;
    Ok(known.map_or(Revision(0), |known| known.snapshot.cluster.revision))
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
