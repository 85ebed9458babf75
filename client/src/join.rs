//! `convene join`: checks in, executes the instruction, and repeats this until etcd can be started.

mod archived_data;
mod offline_grace;
mod promoter;
mod result;

use std::time::{Duration, SystemTime};

use crate::{
    cli::{JoinArgs, LogFormat, PlacementArgs},
    command_error::CommandError,
    data_dir::Leftover,
    data_dir_lock::DataDirLock,
    deadline::{Deadline, DeadlineExceeded},
    membership_change,
    node::Node,
    output::Action,
    registry::{Instruction, RegistryError, Start, State, Task},
    session::{CheckInOptions, CheckInResponse, NODE_REFUSED, RETRY_INTERVAL, Session},
    stdout,
    verify::{self, archive::Refused, identity, own},
};
use offline_grace::OfflineGrace;

/// Runs the command. On success, the configuration of etcd has been printed on standard output.
pub async fn run(arguments: &JoinArgs, log_format: LogFormat) -> Result<(), CommandError> {
    let session = Session::new(&arguments.node, log_format)?;
    let offline_grace = OfflineGrace::new(arguments.placement.offline_grace);
    let join = Join {
        arguments,
        session,
        lock: None,
        deadline: Deadline::after(arguments.timeout),
        offline_grace,
        has_refused_to_archive: false,
    };
    join.ensure_etcd_is_stopped()?;
    join.run().await
}

/// A node that joins.
struct Join<'a> {
    arguments: &'a JoinArgs,
    session: Session,
    /// Held from the first check-in on. `None` while the disk is mounted read-only, and for a dry run, which decides nothing.
    lock: Option<DataDirLock>,
    deadline: Deadline,
    offline_grace: OfflineGrace,
    /// Whether this node has refused to archive its data, and may start etcd on it instead.
    has_refused_to_archive: bool,
}

/// The reasons of removals after which the node that executes them joins.
const TO_TAKE_PLACE: [&str; 2] = ["dead", "lost_disk"];

/// What follows an instruction.
enum Next {
    /// Check in after this time.
    CheckIn(Duration),
    /// Exit: the result is printed.
    Exit,
}

impl Join<'_> {
    async fn run(mut self) -> Result<(), CommandError> {
        loop {
            let next = self.check_in_and_execute().await?;
            let Next::CheckIn(after) = next else { return Ok(()) };
            if self.deadline.sleep(after).await.is_err() {
                return Err(self.session.timeout_error());
            }
        }
    }

    fn ensure_etcd_is_stopped(&self) -> Result<(), CommandError> {
        let Node { data, data_path, .. } = &self.session.node;
        if !data.is_in_use()? {
            return Ok(());
        }
        Err(CommandError::Refused(format!(
            "etcd is already running on {}; run `convene join` before etcd starts, and `convene status` to see the cluster",
            data_path.display()
        )))
    }

    async fn check_in_and_execute(&mut self) -> Result<Next, CommandError> {
        let state = self.session.node.state()?;
        if self.lock.is_none() && !self.arguments.dry_run {
            self.lock = DataDirLock::acquire(&self.session.node.data_path)?;
        }
        self.offline_grace.record_attempt();
        let check_in = self.session.check_in(&state, self.check_in_options());
        let mut response = match self.deadline.limit(check_in).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return self.proceed_offline(&state, error).await,
            Err(DeadlineExceeded) => return Err(self.session.timeout_error()),
        };
        // By now, the registry may have given this node's place to another one.
        if !response.is_fresh() && matches!(response.instruction.task, Task::Bootstrap(_) | Task::Join(_)) {
            return Ok(self.wait_for_fresh_response());
        }
        self.offline_grace.record_answer();
        if let State::Unreadable { found } = &state
            && !response.instruction.message.contains(found)
        {
            response.instruction.message += &format!("; the data directory is unreadable: {found}");
        }
        if self.arguments.dry_run {
            result::print_dry_run(self.arguments.output, &response.instruction)?;
            return Ok(Next::Exit);
        }
        self.execute(&state, response).await
    }

    fn wait_for_fresh_response(&self) -> Next {
        let message = "the answer of the registry is older than 4 s and may be outdated; checking in again";
        self.session.progress.wait("wait", "stale", message);
        Next::CheckIn(RETRY_INTERVAL)
    }

    fn check_in_options(&self) -> CheckInOptions {
        let JoinArgs { once, etcd_version, dry_run, .. } = *self.arguments;
        let PlacementArgs { join_strategy, cluster_size, accept_reset, .. } = self.arguments.placement;
        let size = cluster_size.0;
        CheckInOptions { leaving: false, once, strategy: join_strategy, size, accept_reset, etcd_version, dry_run }
    }

    async fn execute(&mut self, state: &State, response: CheckInResponse) -> Result<Next, CommandError> {
        let Instruction { task, name, reason, message, check_in_after, .. } = &response.instruction;
        let progress = &self.session.progress;
        if matches!(state, State::Empty { .. })
            && gives_place(&response.instruction)
            && let Err(found) = self.session.node.data.check_room()
        {
            return Ok(self.refuse(name, found.to_string()));
        }
        if let Err(found) = self.check_lock()
            && !matches!(task, Task::Wait | Task::StandBy | Task::Observe { .. } | Task::Refuse { .. })
        {
            return Ok(self.refuse(name, found));
        }
        match task {
            Task::Wait | Task::StandBy => {
                let archives = archived_data::note(&self.session, state, reason).unwrap_or_default();
                progress.wait(name, reason, &format!("{message}{archives}"));
                Ok(Next::CheckIn(*check_in_after))
            }
            Task::Observe { .. } => {
                progress.wait(name, reason, message);
                Ok(Next::CheckIn(RETRY_INTERVAL))
            }
            Task::Bootstrap(start) => match identity::verify_bootstrap(&self.session, start).await {
                Ok(()) => self.finish(state, &response, Action::Bootstrap, Some(start)),
                Err(found) => Ok(self.refuse(name, found)),
            },
            Task::Join(start) => match identity::verify_join(&self.session, start).await {
                Ok(()) => self.finish(state, &response, Action::Join, Some(start)),
                Err(found) => Ok(self.refuse(name, found)),
            },
            Task::Start(start) => match identity::verify_start(&self.session, state).await {
                Ok(()) => self.finish(state, &response, Action::Start, self.own_start(start.as_ref())),
                Err(found) => Ok(self.refuse(name, found)),
            },
            Task::ArchiveData => self.execute_archive(state, &response.instruction).await,
            Task::Refuse { remedy } => Err(CommandError::refused(&response.instruction, remedy)),
            Task::RemoveMember(..)
            | Task::AddMember { .. }
            | Task::UpdateMember(..)
            | Task::Promote(..)
            | Task::Leave(..) => Ok(Next::CheckIn(membership_change::apply(&self.session, &response).await)),
        }
    }

    fn refuse(&self, instruction: &str, found: String) -> Next {
        self.session.refuse(instruction, found);
        Next::CheckIn(RETRY_INTERVAL)
    }

    /// How the registry says etcd starts on its data, unless that is about another node. A node with valid data starts all the same.
    fn own_start<'s>(&self, start: Option<&'s Start>) -> Option<&'s Start> {
        let start = start?;
        let Err(found) = own::check_start(&self.session, start, false) else { return Some(start) };
        let message =
            format!("the registry describes another node: {found}; etcd starts with this node's own settings");
        self.session.progress.step("warning", &message);
        None
    }

    fn check_lock(&self) -> Result<(), String> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(format!(
                "the filesystem of {} is mounted read-only, so this node can't lock it; mount it writable, or use another directory",
                self.session.node.data_path.display()
            )),
        }
    }

    /// Whether an administrator has consented to the epoch of the instruction on this node.
    fn accepts_reset(&self, instruction: &Instruction) -> bool {
        self.arguments.placement.accept_reset == Some(instruction.epoch)
    }

    /// Archives the data if this node has itself seen that no cluster needs it. Otherwise etcd starts on it, if it can check
    /// its membership itself, and if the registry repeats the instruction although this node has reported what it saw.
    async fn execute_archive(&mut self, state: &State, instruction: &Instruction) -> Result<Next, CommandError> {
        let Instruction { name, reason, message, .. } = instruction;
        match verify::archive::verify(&self.session, state, instruction, self.accepts_reset(instruction)).await {
            Ok(()) => {
                if self.session.node.state()? != *state {
                    let found = "the data directory has changed since this node's check-in".to_owned();
                    return Ok(self.refuse(name, found));
                }
                // If nothing was archived, the registry would repeat the instruction: don't do so in a busy loop.
                let is_archived = self.archive(reason, message)?;
                Ok(Next::CheckIn(if is_archived { Duration::ZERO } else { RETRY_INTERVAL }))
            }
            Err(Refused { found, may_start: true }) if self.has_refused_to_archive => {
                if let Err(found) = identity::verify_start(&self.session, state).await {
                    return Ok(self.refuse("start", found));
                }
                let message = format!("{found}; etcd starts on the existing data, and checks its membership itself");
                self.print_result(Action::Start, None, "start", NODE_REFUSED, &message)
            }
            Err(Refused { found, may_start }) => {
                self.has_refused_to_archive = may_start;
                Ok(self.refuse(name, found))
            }
        }
    }

    /// Archives the data, and returns whether there was any.
    fn archive(&self, reason: &str, why: &str) -> Result<bool, CommandError> {
        let archived = self.session.node.data.archive(SystemTime::now())?;
        let archived: Vec<String> = archived.iter().map(|path| path.display().to_string()).collect();
        let message = match archived.is_empty() {
            true => format!("{why}; there was no data to archive"),
            false => format!("{why}; the data is now in {}", archived.join(" and ")),
        };
        self.session.progress.step_with_reason("archive_data", reason, &message);
        Ok(!archived.is_empty())
    }

    /// Prints how to start etcd, if the data directory still holds what this node has reported.
    fn finish(
        &self,
        state: &State,
        response: &CheckInResponse,
        action: Action,
        start: Option<&Start>,
    ) -> Result<Next, CommandError> {
        self.ensure_etcd_is_stopped()?;
        if let Err(found) = identity::verify_data(&self.session, state, action == Action::Start) {
            return Ok(self.refuse(&response.instruction.name, found));
        }
        if action != Action::Start {
            // Verifying has taken time.
            if !response.is_fresh() {
                return Ok(self.wait_for_fresh_response());
            }
            self.archive_leftover()?;
        }
        let Instruction { name, reason, message, .. } = &response.instruction;
        self.print_result(action, start, name, reason, message)
    }

    fn print_result(
        &self,
        action: Action,
        start: Option<&Start>,
        name: &str,
        reason: &str,
        message: &str,
    ) -> Result<Next, CommandError> {
        let progress = &self.session.progress;
        let config = result::etcd_config(&self.session.node, action, start, reason, message);
        let text = result::render(&config, self.arguments.output, progress)?;
        progress.step_with_reason(name, reason, message);
        if !self.arguments.no_promote {
            promoter::spawn(&self.arguments.node, progress);
        }
        stdout::print(&text)?;
        Ok(Next::Exit)
    }

    /// Archives a database without a WAL. If entries were ever applied to it, etcd would take its keys over into the new
    /// member.
    fn archive_leftover(&self) -> Result<(), CommandError> {
        let why = match self.session.node.data.leftover()? {
            Leftover::None | Leftover::NothingApplied => return Ok(()),
            Leftover::Applied { index } => {
                format!("the data directory has a database of an earlier member (applied index {index}), but no WAL")
            }
            Leftover::Unreadable { found } => {
                format!("the data directory has unreadable files of an earlier member, but no WAL: {found}")
            }
        };
        self.archive("left_overs", &why).map(drop)
    }

    /// Continues without an instruction. A node with a member's data starts after `--offline-grace`; any other node waits.
    async fn proceed_offline(&self, state: &State, error: RegistryError) -> Result<Next, CommandError> {
        let progress = &self.session.progress;
        // A node that is not admitted must not start as if the registry were down.
        if error.denial().is_some() || matches!(error, RegistryError::Credential(_)) {
            if error.is_permanent() || self.arguments.dry_run {
                return Err(error.into());
            }
            progress.wait("wait", error.reason(), &error.to_string());
            return Ok(Next::CheckIn(RETRY_INTERVAL));
        }
        let has_data = matches!(state, State::Stopped { .. });
        let is_forgotten = self.session.is_forgotten(state, &error);
        if self.arguments.dry_run || (!has_data && error.is_permanent() && !is_forgotten) {
            return Err(error.into());
        }
        if !has_data {
            let state = match state {
                State::Unreadable { found } => format!("with unreadable data ({found})"),
                _ => "without data".to_owned(),
            };
            let seen = if is_forgotten { "; this node has seen it running" } else { "" };
            let message = format!("{error}{seen}. A node {state} cannot start on its own; trying again");
            progress.wait("wait", error.reason(), &message);
            return Ok(Next::CheckIn(RETRY_INTERVAL));
        }
        let left = self.offline_grace.remaining();
        if left > Duration::ZERO {
            let grace = humantime::format_duration(self.arguments.placement.offline_grace);
            let message =
                format!("{error}; if this lasts {grace}, this node will use its existing data without the registry");
            progress.wait("wait", error.reason(), &message);
            return Ok(Next::CheckIn(left.min(RETRY_INTERVAL)));
        }
        if let Err(found) = self.check_lock() {
            return Ok(self.refuse("start", found));
        }
        if let Err(found) = identity::verify_start(&self.session, state).await {
            return Ok(self.refuse("start", found));
        }
        let message = format!("{error}; continuing with the existing data, without the registry");
        self.print_result(Action::Start, None, "start", error.reason(), &message)
    }
}

/// Whether the instruction is a step with which a node without data becomes a member.
fn gives_place(instruction: &Instruction) -> bool {
    match instruction.task {
        Task::RemoveMember(..) => TO_TAKE_PLACE.contains(&instruction.reason.as_str()),
        Task::AddMember { .. } | Task::Join(_) | Task::Bootstrap(_) => true,
        _ => false,
    }
}
