//! How a node comes to the point at which its etcd can be started: it checks in, executes the instruction, and repeats this.

mod archived_data;
mod offline_grace;
mod wait;

use std::time::{Duration, SystemTime};

use convene_lifecycle::EtcdVersion;

use crate::{
    command_error::CommandError,
    data_dir::Leftover,
    data_dir_lock::DataDirLock,
    deadline::{Deadline, DeadlineExceeded},
    membership_change,
    node::Node,
    output::{Action, EtcdConfig, InitialClusterState},
    own_reason::OwnReason,
    registry::{Instruction, RegistryError, Start, State, Task},
    session::{CheckInOptions, CheckInResponse, RETRY_INTERVAL, Session},
    verify::{self, archive::Refused, identity, own},
};
use offline_grace::OfflineGrace;
use wait::NextCheckIn;

/// A node without a running etcd, on its way to a place in the cluster. It holds the lock of the data directory.
pub struct Placement {
    options: CheckInOptions,
    /// Held from the first turn on. `None` while the disk is mounted read-only.
    lock: Option<DataDirLock>,
    deadline: Deadline,
    offline_grace: OfflineGrace,
    /// Whether this node has refused to archive its data, and may start etcd on it instead.
    has_refused_to_archive: bool,
}

/// What follows a check-in.
pub enum Turn {
    /// Check in after this time.
    CheckIn(Duration),
    /// Start etcd with this configuration. The data directory still holds what this node has reported.
    Start(EtcdConfig),
    /// The registry refuses to instruct this node until a person has acted.
    Refused {
        /// The instruction.
        instruction: Instruction,
        /// What the person can do.
        remedy: String,
    },
    /// The registry does not admit this node, or does not know its cluster. Asking again changes nothing.
    Rejected(RegistryError),
}

/// The reasons of removals after which the node that executes them joins.
const TO_TAKE_PLACE: [&str; 2] = ["dead", "lost_disk"];

impl Placement {
    /// A node that has not checked in yet. It starts on its data without the registry after `offline_grace`.
    pub fn new(options: CheckInOptions, offline_grace: Duration, deadline: Deadline) -> Self {
        let offline_grace = OfflineGrace::new(offline_grace);
        Self { options, lock: None, deadline, offline_grace, has_refused_to_archive: false }
    }

    /// Begins the way to another start of etcd, whose version may be another one than before.
    pub fn begin(&mut self, etcd_version: Option<EtcdVersion>) {
        self.options.etcd_version = etcd_version;
        self.offline_grace.record_answer();
        self.has_refused_to_archive = false;
    }

    /// Checks in and executes the instruction. Call it again after the time that it returns.
    pub async fn turn(&mut self, session: &Session) -> Result<Turn, CommandError> {
        let state = session.node.state()?;
        self.lock(session)?;
        self.offline_grace.record_attempt();
        let options = self.options;
        self.options.wait = Duration::ZERO;
        let response = match self.check_in(session, &state, options).await? {
            Ok(response) => response,
            Err(error) => return self.proceed_offline(session, &state, error).await,
        };
        // By now, the registry may have given this node's place to another one.
        if !response.is_fresh() && matches!(response.instruction.task, Task::Bootstrap(_) | Task::Join(_)) {
            return Ok(wait_for_fresh_response(session));
        }
        self.offline_grace.record_answer();
        self.execute(session, &state, response, options.wait).await
    }

    /// Takes the lock of the data directory, unless this node has it. Fails if another process has it.
    pub fn lock(&mut self, session: &Session) -> Result<(), CommandError> {
        if self.lock.is_none() {
            self.lock = DataDirLock::acquire(&session.node.data_path)?;
        }
        Ok(())
    }

    /// What this node would be instructed to do. Changes nothing.
    pub async fn preview(&self, session: &Session) -> Result<Instruction, CommandError> {
        let state = session.node.state()?;
        let response = self.check_in(session, &state, CheckInOptions { dry_run: true, ..self.options }).await?;
        Ok(response?.instruction)
    }

    async fn check_in(
        &self,
        session: &Session,
        state: &State,
        options: CheckInOptions,
    ) -> Result<Result<CheckInResponse, RegistryError>, CommandError> {
        let check_in = self.deadline.limit(session.check_in(state, options)).await;
        let mut answer = check_in.map_err(|DeadlineExceeded| session.timeout_error())?;
        if let (State::Unreadable { found }, Ok(CheckInResponse { instruction, .. })) = (state, &mut answer)
            && !instruction.message.contains(found)
        {
            instruction.message += &format!("; the data directory is unreadable: {found}");
        }
        Ok(answer)
    }

    async fn execute(
        &mut self,
        session: &Session,
        state: &State,
        response: CheckInResponse,
        waited: Duration,
    ) -> Result<Turn, CommandError> {
        let Instruction { task, name, reason, message, .. } = &response.instruction;
        let progress = &session.progress;
        if matches!(state, State::Empty { .. })
            && gives_place(&response.instruction)
            && let Err(found) = session.node.data.check_room()
        {
            return Ok(refuse(session, name, found.to_string()));
        }
        if let Err(found) = self.check_lock(session)
            && !matches!(task, Task::Wait | Task::StandBy | Task::Observe { .. } | Task::Refuse { .. })
        {
            return Ok(refuse(session, name, found));
        }
        match task {
            Task::Wait | Task::StandBy => {
                let archives = archived_data::note(session, state, reason).unwrap_or_default();
                progress.wait(name, reason, &format!("{message}{archives}"));
                Ok(Turn::CheckIn(self.pause(state, &response, waited)))
            }
            Task::Observe { .. } => {
                progress.wait(name, reason, message);
                Ok(Turn::CheckIn(RETRY_INTERVAL))
            }
            Task::Bootstrap(start) => match identity::verify_bootstrap(session, start).await {
                Ok(()) => finish(session, state, &response, Action::Bootstrap, Some(start)),
                Err(found) => Ok(refuse(session, name, found)),
            },
            Task::Join(start) => match identity::verify_join(session, start).await {
                Ok(()) => finish(session, state, &response, Action::Join, Some(start)),
                Err(found) => Ok(refuse(session, name, found)),
            },
            Task::Start(start) => match identity::verify_start(session, state).await {
                Ok(()) => finish(session, state, &response, Action::Start, own_start(session, start.as_ref())),
                Err(found) => Ok(refuse(session, name, found)),
            },
            Task::ArchiveData => self.execute_archive(session, state, &response.instruction).await,
            Task::Refuse { remedy } => {
                let remedy = remedy.clone();
                Ok(Turn::Refused { instruction: response.instruction, remedy })
            }
            Task::RemoveMember(..)
            | Task::AddMember { .. }
            | Task::UpdateMember(..)
            | Task::Promote(..)
            | Task::Leave(..) => Ok(Turn::CheckIn(membership_change::apply(session, &response).await)),
        }
    }

    /// The time until the next check-in of a node that has nothing to do. If the registry can hold its response, the next check-in waits
    /// there, and the node learns at once of a change that concerns it. A node with data does not wait: it may have to start without
    /// the registry.
    fn pause(&mut self, state: &State, response: &CheckInResponse, waited: Duration) -> Duration {
        let Instruction { check_in_after, wait, .. } = response.instruction;
        let offered = wait.filter(|_| matches!(state, State::Empty { .. }));
        let next = NextCheckIn::new(check_in_after, offered, waited, response.sent_at.elapsed());
        self.options.wait = next.wait;
        next.pause
    }

    fn check_lock(&self, session: &Session) -> Result<(), String> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(format!(
                "the filesystem of {} is mounted read-only, so this node can't lock it; mount it writable, or use another directory",
                session.node.data_path.display()
            )),
        }
    }

    /// Whether an administrator has consented to the epoch of the instruction on this node.
    fn accepts_reset(&self, instruction: &Instruction) -> bool {
        self.options.accept_reset == Some(instruction.epoch)
    }

    /// Archives the data if this node has itself seen that no cluster needs it. Otherwise etcd starts on it, if it can check
    /// its membership itself, and if the registry repeats the instruction although this node has reported what it saw.
    async fn execute_archive(
        &mut self,
        session: &Session,
        state: &State,
        instruction: &Instruction,
    ) -> Result<Turn, CommandError> {
        let Instruction { name, reason, message, .. } = instruction;
        match verify::archive::verify(session, state, instruction, self.accepts_reset(instruction)).await {
            Ok(()) => {
                if session.node.state()? != *state {
                    let found = "the data directory has changed since this node's check-in".to_owned();
                    return Ok(refuse(session, name, found));
                }
                // If nothing was archived, the registry would repeat the instruction: don't do so in a busy loop.
                let is_archived = archive(session, reason, message)?;
                Ok(Turn::CheckIn(if is_archived { Duration::ZERO } else { RETRY_INTERVAL }))
            }
            Err(Refused { found, may_start: true }) if self.has_refused_to_archive => {
                if let Err(found) = identity::verify_start(session, state).await {
                    return Ok(refuse(session, "start", found));
                }
                let message = format!("{found}; etcd starts on the existing data, and checks its membership itself");
                Ok(start_with(session, Action::Start, None, OwnReason::NodeRefused.as_str(), &message))
            }
            Err(Refused { found, may_start }) => {
                self.has_refused_to_archive = may_start;
                Ok(refuse(session, name, found))
            }
        }
    }

    /// Continues without an instruction. A node with a member's data starts after `--offline-grace`; any other node waits.
    async fn proceed_offline(
        &self,
        session: &Session,
        state: &State,
        error: RegistryError,
    ) -> Result<Turn, CommandError> {
        let progress = &session.progress;
        // A node that is not admitted must not start as if the registry were down.
        if error.denial().is_some() || matches!(error, RegistryError::Credential(_)) {
            if error.is_permanent() {
                return Ok(Turn::Rejected(error));
            }
            progress.wait("wait", error.reason(), &error.to_string());
            return Ok(Turn::CheckIn(RETRY_INTERVAL));
        }
        let has_data = matches!(state, State::Stopped { .. });
        let is_forgotten = session.is_forgotten(state, &error);
        if !has_data && error.is_permanent() && !is_forgotten {
            return Ok(Turn::Rejected(error));
        }
        if !has_data {
            let state = match state {
                State::Unreadable { found } => format!("with unreadable data ({found})"),
                _ => "without data".to_owned(),
            };
            let seen = if is_forgotten { "; this node has seen the cluster run" } else { "" };
            let message = format!("{error}{seen}. A node {state} can't start without the registry; trying again");
            progress.wait("wait", error.reason(), &message);
            return Ok(Turn::CheckIn(RETRY_INTERVAL));
        }
        let left = self.offline_grace.remaining();
        if left > Duration::ZERO {
            let grace = humantime::format_duration(self.offline_grace.grace());
            let message =
                format!("{error}; if this lasts {grace}, this node will use its existing data without the registry");
            progress.wait("wait", error.reason(), &message);
            return Ok(Turn::CheckIn(left.min(RETRY_INTERVAL)));
        }
        if let Err(found) = self.check_lock(session) {
            return Ok(refuse(session, "start", found));
        }
        if let Err(found) = identity::verify_start(session, state).await {
            return Ok(refuse(session, "start", found));
        }
        let message = format!("{error}; continuing with the existing data, without the registry");
        Ok(start_with(session, Action::Start, None, error.reason(), &message))
    }
}

fn wait_for_fresh_response(session: &Session) -> Turn {
    let message = "the answer of the registry is older than 4 s and may be outdated; checking in again";
    session.progress.wait("wait", OwnReason::Stale.as_str(), message);
    Turn::CheckIn(RETRY_INTERVAL)
}

fn refuse(session: &Session, instruction: &str, found: String) -> Turn {
    session.refuse(instruction, found);
    Turn::CheckIn(RETRY_INTERVAL)
}

/// How the registry says etcd starts on its data, unless that is about another node. A node with valid data starts all the same.
fn own_start<'s>(session: &Session, start: Option<&'s Start>) -> Option<&'s Start> {
    let start = start?;
    let Err(found) = own::check_start(session, start, false) else { return Some(start) };
    let message = format!("the registry describes another node: {found}; etcd starts with this node's own settings");
    session.progress.step("warning", &message);
    None
}

/// Archives the data, and returns whether there was any.
fn archive(session: &Session, reason: &str, why: &str) -> Result<bool, CommandError> {
    let archived = session.node.data.archive(SystemTime::now())?;
    let archived: Vec<String> = archived.iter().map(|path| path.display().to_string()).collect();
    let message = match archived.is_empty() {
        true => format!("{why}; there was no data to archive"),
        false => format!("{why}; the data is now in {}", archived.join(" and ")),
    };
    session.progress.step_with_reason("archive_data", reason, &message);
    Ok(!archived.is_empty())
}

/// Starts etcd, if the data directory still holds what this node has reported.
fn finish(
    session: &Session,
    state: &State,
    response: &CheckInResponse,
    action: Action,
    start: Option<&Start>,
) -> Result<Turn, CommandError> {
    ensure_etcd_is_stopped(&session.node)?;
    if let Err(found) = identity::verify_data(session, state, action == Action::Start) {
        return Ok(refuse(session, &response.instruction.name, found));
    }
    if action != Action::Start {
        // Verifying has taken time.
        if !response.is_fresh() {
            return Ok(wait_for_fresh_response(session));
        }
        archive_leftover(session)?;
    }
    let Instruction { reason, message, .. } = &response.instruction;
    Ok(start_with(session, action, start, reason, message))
}

/// The configuration to start etcd with. Without `start` the registry does not know the member, and etcd starts on its data
/// with the settings that the node knows itself.
fn start_with(session: &Session, action: Action, start: Option<&Start>, reason: &str, message: &str) -> Turn {
    let node = &session.node;
    let peer_urls = start.map_or(&node.peer_urls, |start| &start.initial_advertise_peer_urls);
    let initial_cluster_state = match action {
        Action::Bootstrap => InitialClusterState::New,
        Action::Start | Action::Join => InitialClusterState::Existing,
    };
    Turn::Start(EtcdConfig {
        action,
        name: start.map_or(&node.name, |start| &start.name).clone(),
        data_dir: node.data_path.clone(),
        wal_dir: node.wal_path.clone(),
        initial_advertise_peer_urls: peer_urls.clone(),
        initial_cluster: start.map(|start| start.initial_cluster.clone()),
        initial_cluster_state,
        initial_cluster_token: start.map(|start| start.initial_cluster_token.clone()),
        advertise_client_urls: node.client_urls.clone(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    })
}

/// Archives a database without a WAL. If entries were ever applied to it, etcd would take its keys over into the new
/// member.
fn archive_leftover(session: &Session) -> Result<(), CommandError> {
    let why = match session.node.data.leftover()? {
        Leftover::None | Leftover::NothingApplied => return Ok(()),
        Leftover::Applied { index } => {
            format!("the data directory has a database of an earlier member (applied index {index}), but no WAL")
        }
        Leftover::Unreadable { found } => {
            format!("the data directory has unreadable files of an earlier member, but no WAL: {found}")
        }
    };
    archive(session, OwnReason::LeftOvers.as_str(), &why).map(drop)
}

/// Fails if etcd runs on the data of this node.
pub fn ensure_etcd_is_stopped(node: &Node) -> Result<(), CommandError> {
    if !node.data.is_in_use()? {
        return Ok(());
    }
    Err(CommandError::Refused(format!(
        "etcd is already running on {}; stop it first, or run `convene status` to see the cluster",
        node.data_path.display()
    )))
}

/// Whether the instruction is a step with which a node without data becomes a member.
fn gives_place(instruction: &Instruction) -> bool {
    match instruction.task {
        Task::RemoveMember(..) => TO_TAKE_PLACE.contains(&instruction.reason.as_str()),
        Task::AddMember { .. } | Task::Join(_) | Task::Bootstrap(_) => true,
        _ => false,
    }
}
