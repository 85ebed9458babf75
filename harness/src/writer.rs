//! A client that writes to a cluster all the time.

use std::{
    collections::BTreeSet,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Access, gateway::Gateway, wait_for};

/// How long a write may take. An election takes longer, so that the next write has a chance elsewhere.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// From one write to the next, so that the writer leaves the processor to the programs under test.
const PACE: Duration = Duration::from_millis(5);

/// How long the cluster may take to show what was written.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Writes to a cluster, key after key, for as long as it lives: each key once, through one endpoint until that fails
/// and then through the next.
pub struct Writer {
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<Result<BTreeSet<u64>, String>>>,
}

/// What has become of a writer's keys.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many writes the cluster has acknowledged.
    pub acknowledged: usize,
    /// Those of them that it doesn't have any more.
    pub lost: Vec<u64>,
    /// The longest time without an acknowledged write, from the writer's start to its end.
    pub max_probe_gap: Duration,
}

impl Writer {
    /// Starts to write.
    pub fn start(access: &Access, endpoints: &[&str]) -> Self {
        let state = Arc::new(Mutex::new(State::new(endpoints)));
        let (shared, access) = (state.clone(), access.clone());
        Self { state, thread: Some(thread::spawn(move || run(&shared, &access))) }
    }

    /// Writes through these endpoints from now on, as when members have moved or are more.
    pub fn use_endpoints(&self, endpoints: &[&str]) {
        lock(&self.state).endpoints = owned(endpoints);
    }

    /// How many writes have been acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.state).acknowledged.len()
    }

    /// Waits until this number of further writes is acknowledged.
    pub fn wait_for_writes(&self, further: usize, limit: Duration) {
        let enough = self.acknowledged() + further;
        let written = wait_for(limit, || (self.acknowledged() >= enough).then_some(()));
        written.unwrap_or_else(|| panic!("{further} further writes fail; the last one: {}", lock(&self.state).failure));
    }

    /// Ends the writing and reads back what was acknowledged, through the quorum.
    pub fn finish(mut self) -> Report {
        let found = self.end(Phase::Reading).expect("a writer ends once");
        let found = found.unwrap_or_else(|failure| panic!("what was written can't be read: {failure}"));
        let state = lock(&self.state);
        Report {
            acknowledged: state.acknowledged.len(),
            lost: state.acknowledged.iter().copied().filter(|key| !found.contains(key)).collect(),
            max_probe_gap: state.max_probe_gap,
        }
    }

    fn end(&mut self, phase: Phase) -> Option<Result<BTreeSet<u64>, String>> {
        lock(&self.state).phase = phase;
        Some(self.thread.take()?.join().unwrap_or_else(|_| Err("the writer has panicked".to_owned())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(Phase::Over);
    }
}

/// What the thread shares with its handle.
struct State {
    endpoints: Vec<String>,
    phase: Phase,
    acknowledged: Vec<u64>,
    /// When the last write was acknowledged, or the writer was started.
    last: Instant,
    max_probe_gap: Duration,
    /// Of the last write that failed.
    failure: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Writing,
    Reading,
    Over,
}

impl State {
    fn new(endpoints: &[&str]) -> Self {
        Self {
            endpoints: owned(endpoints),
            phase: Phase::Writing,
            acknowledged: Vec::new(),
            last: Instant::now(),
            max_probe_gap: Duration::ZERO,
            failure: "none has failed".to_owned(),
        }
    }

    fn end_gap(&mut self) {
        let now = Instant::now();
        self.max_probe_gap = self.max_probe_gap.max(now - self.last);
        self.last = now;
    }
}

fn run(state: &Mutex<State>, access: &Access) -> Result<BTreeSet<u64>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let keys = Keys::new();
    runtime.block_on(async {
        write(state, &keys, Gateway::new(access, WRITE_LIMIT)).await;
        if lock(state).phase == Phase::Over {
            return Ok(BTreeSet::new());
        }
        read(state, &keys, Gateway::new(access, READ_LIMIT / 3)).await
    })
}

async fn write(state: &Mutex<State>, keys: &Keys, mut gateway: Gateway) {
    let mut failures = 0;
    for key in 0.. {
        let endpoint = {
            let state = lock(state);
            if state.phase != Phase::Writing {
                break;
            }
            state.endpoints[failures % state.endpoints.len()].clone()
        };
        let started = Instant::now();
        let written = gateway.put(&endpoint, &keys.name(key), &key.to_string()).await;
        {
            let mut state = lock(state);
            match written {
                Ok(()) => {
                    state.acknowledged.push(key);
                    state.end_gap();
                }
                Err(failure) => {
                    state.failure = failure;
                    failures += 1;
                }
            }
        }
        tokio::time::sleep(PACE.saturating_sub(started.elapsed())).await;
    }
    lock(state).end_gap();
}

async fn read(state: &Mutex<State>, keys: &Keys, mut gateway: Gateway) -> Result<BTreeSet<u64>, String> {
    let deadline = Instant::now() + READ_LIMIT;
    let endpoints = lock(state).endpoints.clone();
    for endpoint in endpoints.iter().cycle() {
        match read_from(endpoint, keys, &mut gateway).await {
            Err(failure) if Instant::now() > deadline => return Err(failure),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            found => return found,
        }
    }
    Err("there is no endpoint".to_owned())
}

async fn read_from(endpoint: &str, keys: &Keys, gateway: &mut Gateway) -> Result<BTreeSet<u64>, String> {
    let (mut from, before) = (keys.name(0), keys.name(u64::MAX));
    let mut found = BTreeSet::new();
    loop {
        let (page, more) = gateway.keys(endpoint, &from, &before).await?;
        found.extend(page.iter().map(|name| keys.number(name)));
        match page.last() {
            // The next key there can be.
            Some(last) if more => from = format!("{last}\0"),
            _ => return Ok(found),
        }
    }
}

/// The names of one writer's keys, in the order of their numbers; no other writer has the same.
struct Keys(String);

impl Keys {
    fn new() -> Self {
        static WRITERS: AtomicU32 = AtomicU32::new(0);
        Self(format!("writer-{}-{}/", process::id(), WRITERS.fetch_add(1, Ordering::Relaxed)))
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:020}", self.0)
    }

    fn number(&self, name: &str) -> u64 {
        name.strip_prefix(&self.0).and_then(|number| number.parse().ok()).expect("nobody else writes there")
    }
}

fn owned(endpoints: &[&str]) -> Vec<String> {
    assert!(!endpoints.is_empty(), "a writer needs an endpoint");
    endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect()
}

/// A thread that panicked has left the state consistent.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
