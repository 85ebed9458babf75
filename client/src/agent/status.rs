//! What the agent knows about its node, for those who ask: the service manager, the node's HTTP port, and the registry.

use std::time::{Duration, SystemTime};

use convene_lifecycle::{ClusterId, MemberId, MemberName};
use tokio::sync::watch;

use super::state::State;
use crate::{boot_clock::BootInstant, one_line::one_line};

/// After how many periods without a turn of its loop the agent hangs.
const HANGS_AFTER: u32 = 3;

/// What the agent knows about its node at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The node.
    pub name: MemberName,
    /// The cluster, as logs show it.
    pub cluster: String,
    /// What the agent is doing.
    pub state: State,
    /// The reason code: that of the last instruction, or one of the agent's own.
    pub reason: String,
    /// The reason as a sentence.
    pub message: String,
    /// Since when the state is this one.
    pub since: SystemTime,
    /// The last answer of the registry; `None` if there was none in this run.
    pub registry_answered: Option<SystemTime>,
    /// Why the registry does not answer now.
    pub registry_error: Option<String>,
    /// etcd's process, while it runs.
    pub process: Option<u32>,
    /// How often etcd was started again in this run.
    pub restarts: u64,
    /// How etcd ended last.
    pub last_exit: Option<Exit>,
    /// What etcd says of itself; `None` if it does not answer.
    pub etcd: Option<EtcdStatus>,
    /// When the agent's loop last turned.
    pub turned: BootInstant,
    /// How long a turn of the loop may take now. After three times as long, the agent hangs.
    pub period: Duration,
}

impl Status {
    /// If the agent hangs, the time since its loop last turned.
    pub fn hangs_for(&self) -> Option<Duration> {
        let elapsed = self.turned.elapsed();
        (elapsed > self.period.saturating_mul(HANGS_AFTER)).then_some(elapsed)
    }

    /// State, message and reason as one line of text.
    pub fn to_line(&self) -> String {
        one_line(&format!("{}: {} ({})", self.state, self.message, self.reason)).into_owned()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// What an etcd says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdStatus {
    /// Its member.
    pub member: MemberId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its version, such as 3.6.14; empty if only its peer port answers.
    pub version: String,
    /// The leader that it knows.
    pub leader: Option<MemberId>,
    /// Whether it is a learner.
    pub learner: bool,
    /// The index of the last Raft entry that it has applied.
    pub applied_index: u64,
    /// The size of its database in bytes.
    pub database_bytes: u64,
    /// The bytes of the database that are in use.
    pub database_bytes_in_use: u64,
    /// The quota of its database in bytes; `None` if it does not say (before etcd 3.6).
    pub quota_bytes: Option<u64>,
    /// Its errors: alarms, and the lack of a leader.
    pub errors: Vec<String>,
}

impl EtcdStatus {
    /// Whether it is the leader.
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.member)
    }
}

/// Publishes the status.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Status>);

impl Publisher {
    /// The status of an agent that starts.
    pub fn new(name: MemberName, cluster: String) -> Self {
        let (reason, message) = ("starting".to_owned(), "the agent starts".to_owned());
        let status = Status {
            name,
            cluster,
            state: State::FIRST,
            reason,
            message,
            since: SystemTime::now(),
            registry_answered: None,
            registry_error: None,
            process: None,
            restarts: 0,
            last_exit: None,
            etcd: None,
            turned: BootInstant::now(),
            period: Duration::from_secs(10),
        };
        Self(watch::Sender::new(status))
    }

    /// A receiver of the status, for a task that shows it.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// The present status.
    pub fn get(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Enters a state, with the reason.
    pub fn enter(&self, state: State, reason: &str, message: &str) {
        self.0.send_if_modified(|status| {
            debug_assert!(state.may_follow(status.state), "{state} does not follow {}", status.state);
            let is_changed = (status.state, &*status.reason, &*status.message) != (state, reason, message);
            if status.state != state {
                status.since = SystemTime::now();
            }
            status.state = state;
            reason.clone_into(&mut status.reason);
            message.clone_into(&mut status.message);
            is_changed
        });
    }

    /// Changes other facts. Those who wait for a change are woken only if the function returns true.
    pub fn update(&self, change: impl FnOnce(&mut Status) -> bool) {
        self.0.send_if_modified(change);
    }
}
