//! A node under a supervisor.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use convene_harness::{
    Place, Process,
    etcd::{Etcd, Version},
    wait_for,
};

use crate::node::{Node, Registry};

/// How long a supervisor waits before it starts a node's programs again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A node as a supervisor such as systemd runs it: `convene join`, then etcd, and again a second after either has failed
/// or ended.
pub struct Machine {
    /// The name of the node.
    pub name: String,
    /// The directories and addresses of its etcd.
    pub place: Arc<Place>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What the supervisor and the test share.
#[derive(Default)]
struct State {
    joining: Option<Process>,
    etcd: Option<Etcd>,
    /// What all calls of `convene join` before the present one have logged.
    log: String,
    /// How often etcd was started.
    starts: usize,
    /// How long the next etcd takes to load its data.
    loading: Option<Duration>,
    wanted: Wanted,
}

/// What the supervisor does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Wanted {
    /// Runs the node.
    #[default]
    Running,
    /// Runs the node with an etcd that ends at once.
    Broken,
    /// Keeps the node stopped.
    Stopped,
    /// Ends.
    Gone,
}

impl Machine {
    /// A machine without data, on its own ports of this host.
    pub fn start(version: &Version, registry: &Registry, name: &str) -> Self {
        Self::start_at(Place::new(), version, registry, name, &[])
    }

    /// A machine at a place, with further flags of `convene join`.
    pub fn start_at(
        place: impl Into<Arc<Place>>,
        version: &Version,
        registry: &Registry,
        name: &str,
        flags: &[&str],
    ) -> Self {
        let node = Node::at(place, version, registry, name);
        let place = node.place.clone();
        let state = Arc::new(Mutex::new(State::default()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let shared = state.clone();
        let thread = thread::spawn(move || supervise(&node, &flags, &shared));
        Self { name: name.to_owned(), place, state, thread: Some(thread) }
    }

    /// What all calls of `convene join` have logged so far.
    pub fn log(&self) -> String {
        let state = lock(&self.state);
        let present = state.joining.as_ref().map(Process::stderr).unwrap_or_default();
        format!("{}{present}", state.log)
    }

    /// Waits until `convene join` has logged a text, and returns the line with it.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> String {
        let line = wait_for(limit, || self.log().lines().find(|line| line.contains(text)).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{} has not logged {text:?}:\n{}", self.name, self.log()))
    }

    /// How often etcd was started.
    pub fn starts(&self) -> usize {
        lock(&self.state).starts
    }

    /// Sends a signal to the `convene join` that runs now.
    pub fn signal_join(&self, signal: &str) {
        lock(&self.state).joining.as_ref().expect("convene join runs").signal(signal);
    }

    /// Kills etcd and `convene join`. The supervisor does not start them again.
    pub fn stop(&self) {
        self.set(Wanted::Stopped);
    }

    /// Starts the node again.
    pub fn go_on(&self) {
        lock(&self.state).wanted = Wanted::Running;
    }

    /// Kills etcd. From now on, each etcd that the supervisor starts ends at once.
    pub fn break_etcd(&self) {
        self.set(Wanted::Broken);
    }

    /// Kills etcd. The one that the supervisor starts next takes this long to load its data.
    pub fn restart_slowly(&self, loading: Duration) {
        lock(&self.state).loading = Some(loading);
        self.set(Wanted::Running);
    }

    fn set(&self, wanted: Wanted) {
        let mut state = lock(&self.state);
        state.wanted = wanted;
        state.etcd = None;
        state.end_join();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let state = lock(&self.state);
            let etcd = state.etcd.as_ref().map(|etcd| etcd.output()).unwrap_or_default();
            let last: Vec<&str> = etcd.lines().rev().take(5).collect();
            eprintln!("{}, {} starts of etcd:\n{}{}", self.name, state.starts, state.log, last.join("\n"));
            let joining = state.joining.as_ref().map(Process::stderr);
            eprintln!("{}", joining.unwrap_or_default());
        }
        self.set(Wanted::Gone);
        let ended = self.thread.take().expect("a machine is dropped once").join();
        assert!(ended.is_ok() || thread::panicking(), "the supervisor of {} has panicked", self.name);
    }
}

impl State {
    fn end_join(&mut self) {
        if let Some(mut joining) = self.joining.take() {
            joining.kill();
            self.log += &joining.stderr();
        }
    }
}

fn supervise(node: &Node, flags: &[String], state: &Mutex<State>) {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    loop {
        let started = {
            let mut state = lock(state);
            match state.wanted {
                Wanted::Gone => return,
                Wanted::Stopped => false,
                Wanted::Running | Wanted::Broken => {
                    state.joining = Some(node.call("join", &flags).spawn());
                    true
                }
            }
        };
        if started && let Some(result) = wait_for_join(state) {
            run_etcd(node, &result, state);
        }
        thread::sleep(RESTART_AFTER);
    }
}

/// What `convene join` prints. `None` if it fails or is ended.
fn wait_for_join(state: &Mutex<State>) -> Option<String> {
    loop {
        {
            let mut state = lock(state);
            let joining = state.joining.as_mut()?;
            if !joining.is_running() {
                let code = joining.wait_for_exit(Duration::from_secs(5));
                let result = joining.stdout();
                state.end_join();
                return (code == Some(0)).then_some(result);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs etcd to its end.
fn run_etcd(node: &Node, result: &str, state: &Mutex<State>) {
    {
        let mut state = lock(state);
        state.starts += 1;
        // It ends at once.
        if state.wanted != Wanted::Running {
            return;
        }
        state.etcd = Some(match state.loading.take() {
            Some(loading) => node.version.start_slowly_with_environment(&node.place, result, loading),
            None => node.version.start_with_environment(&node.place, result),
        });
    }
    while lock(state).etcd.as_mut().is_some_and(|etcd| etcd.is_running()) {
        thread::sleep(Duration::from_millis(20));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until exactly these machines run the healthy voters of the cluster.
pub fn wait_until_whole(version: &Version, machines: &[&Machine], limit: Duration) {
    let endpoints: Vec<&str> = machines.iter().map(|machine| machine.place.client_url.as_str()).collect();
    convene_harness::cluster::wait_until_members(
        version,
        &machines[0].place.access(),
        &endpoints,
        machines.len(),
        limit,
    );
}
