//! What the agent knows about its node, for those who ask: the service manager, the node's HTTP port, and the registry.

use std::time::{Duration, SystemTime};

use convene_lifecycle::{
    ClusterId, EtcdStatus as ReportedEtcd, Identity, MemberId, MemberName, NodeStatus, Reachability, Role,
};
use tokio::sync::watch;

use super::state::State;
use crate::{boot_clock::BootInstant, local_etcd::Answer, one_line::one_line, own_reason::OwnReason, session::Session};

/// After how many periods without a turn of its loop the agent hangs.
const HANGS_AFTER: u32 = 3;

/// How long the work of a turn may take: it may have to wait for a registry and for etcds that do not answer.
const WORK: Duration = Duration::from_secs(20);

/// The longest text that the registry takes, in characters.
const MAX_REPORTED_CHARACTERS: usize = 200;

/// The most errors of etcd that the registry takes.
const MAX_REPORTED_ERRORS: usize = 8;

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
    /// What etcd complains about in its log, while it does not answer or does not run.
    pub complaint: Option<String>,
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
    /// Its errors: alarms, and the lack of a leader; or why it does not answer at its client port.
    pub errors: Vec<String>,
}

impl EtcdStatus {
    /// Why it answers at its peer port only. `None` if it answers at its client port.
    pub fn client_port_error(&self) -> Option<&str> {
        let error = || self.errors.first().map_or("etcd answers only at its peer port", String::as_str);
        self.version.is_empty().then(error)
    }

    /// What the etcd has answered that runs as this member.
    pub fn new(identity: Identity, answer: &Answer) -> Self {
        let nothing = Self {
            member: identity.member,
            cluster: identity.cluster,
            version: String::new(),
            leader: None,
            learner: answer.role() == Role::Learner,
            applied_index: 0,
            database_bytes: 0,
            database_bytes_in_use: 0,
            quota_bytes: None,
            errors: Vec::new(),
        };
        match answer {
            Answer::PeerPort { why, .. } => Self {
                errors: why.iter().map(|why| format!("etcd answers only at its peer port: {why}")).collect(),
                ..nothing
            },
            Answer::Status(status) => Self {
                version: status.version.clone(),
                leader: status.leader,
                applied_index: status.applied_index,
                database_bytes: status.database_bytes,
                database_bytes_in_use: status.database_bytes_in_use,
                quota_bytes: status.quota_bytes,
                errors: status.errors.clone(),
                ..nothing
            },
        }
    }

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
        let (reason, message) = (OwnReason::Starting.as_str().to_owned(), "the agent starts".to_owned());
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
            complaint: None,
            turned: BootInstant::now(),
            period: WORK,
        };
        Self(watch::Sender::new(status))
    }

    /// A receiver of the status, for a task that shows it.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.0.borrow().state
    }

    /// What the registry is told about the status, with the members that this node reaches.
    pub fn reported(&self, reachability: Vec<Reachability>) -> NodeStatus {
        let status = self.0.borrow();
        let etcd = status.etcd.as_ref();
        let cut = |text: &str| match text.char_indices().nth(MAX_REPORTED_CHARACTERS) {
            Some(_) => text.chars().take(MAX_REPORTED_CHARACTERS - 1).chain(['…']).collect(),
            None => text.to_owned(),
        };
        let etcd = ReportedEtcd {
            version: etcd.map(|etcd| cut(&etcd.version)).filter(|version| !version.is_empty()),
            leader: etcd.and_then(|etcd| etcd.leader),
            raft_applied_index: etcd.map(|etcd| etcd.applied_index),
            database_bytes: etcd.map(|etcd| etcd.database_bytes),
            database_bytes_in_use: etcd.map(|etcd| etcd.database_bytes_in_use),
            quota_bytes: etcd.and_then(|etcd| etcd.quota_bytes),
            errors: etcd
                .map(|etcd| &*etcd.errors)
                .unwrap_or(status.complaint.as_slice())
                .iter()
                .take(MAX_REPORTED_ERRORS)
                .map(|error| cut(&one_line(error)))
                .collect(),
            restarts: Some(status.restarts),
            state: Some(status.state.to_string()),
            reason: Some(cut(&one_line(&status.message))),
        };
        NodeStatus { etcd: Some(etcd), reachability }
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

    /// Enters a state, and keeps the reason.
    pub fn reach(&self, state: State) {
        let (reason, message) = {
            let status = self.0.borrow();
            (status.reason.clone(), status.message.clone())
        };
        self.enter(state, &reason, &message);
    }

    /// The loop has turned once more.
    pub fn turned(&self, session: &Session) {
        let is_lost = session.registry.is_lost();
        self.0.send_if_modified(|status| {
            status.turned = BootInstant::now();
            let was_lost = status.registry_error.is_some();
            match is_lost {
                true => status.registry_error = Some("the registry does not answer".to_owned()),
                false => {
                    status.registry_answered = session.registry.answered_at();
                    status.registry_error = None;
                }
            }
            was_lost != is_lost
        });
    }

    /// Sleeps until the next turn of the loop.
    pub async fn sleep(&self, time: Duration) {
        self.0.send_if_modified(|status| {
            status.period = time + WORK;
            false
        });
        tokio::time::sleep(time).await;
    }

    /// Changes other facts. Those who wait for a change are woken only if the function returns true.
    pub fn update(&self, change: impl FnOnce(&mut Status) -> bool) {
        self.0.send_if_modified(change);
    }
}
