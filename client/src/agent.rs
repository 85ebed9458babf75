//! `convene run`: starts etcd, and looks after it for its whole life.
//!
//! The agent is a loop of two phases. Without etcd, it finds a place in the cluster, as `convene join` does
//! ([`placement`](crate::placement)). With etcd, it checks in at the policy's pace and executes the instructions ([`watch`]). When etcd
//! ends, the first phase begins again. What the agent does at any moment is its [`State`].

mod etcd_readiness;
mod exit;
mod log;
mod node_port;
mod process;
mod reach;
mod reaper;
mod restarts;
mod service_manager;
mod signals;
pub mod state;
mod status;
mod stopping;
mod watch;

use std::{process::ExitCode, sync::Arc, time::Duration};

use convene_lifecycle::Reason;

use crate::{
    boot_clock::BootInstant,
    cli::{LogFormat, NodeListen, RunArgs},
    command_error::CommandError,
    deadline::Deadline,
    etcd_command::{EtcdCommand, Variables},
    output::EtcdConfig,
    own_reason::OwnReason,
    placement::{Placement, Turn},
    progress::Progress,
    session::Session,
    stderr,
};
use etcd_readiness::EtcdReadiness;
use exit::{is_final, is_rejection_final};
use process::EtcdProcess;
use reaper::reap_orphans;
use restarts::Restarts;
use service_manager::ServiceManager;
use signals::{Request, Signals};
use state::State;
use status::{Exit, Publisher};
use watch::{Tools, Watch};

/// How often a node that a person has to help asks again.
const REFUSED_INTERVAL: Duration = Duration::from_secs(10);

/// The reasons for which a spare waits and is still one: it waits for a place.
const SPARE_WAITS: [&str; 9] = [
    "dead",
    "last_in_line",
    "learner_present",
    "look_needed",
    "no_witness",
    "not_dead_yet",
    "partition",
    "strategy",
    "ticket_held",
];

/// How often a spare asks the etcd program for its version.
const INSPECT_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the command until a signal ends it. Returns the exit code of etcd.
pub async fn run(arguments: &RunArgs, log_format: LogFormat) -> Result<ExitCode, CommandError> {
    let signals = Signals::new()?;
    stderr::begin_relay();
    let command = EtcdCommand::read(&arguments.etcd, Variables::of_process())?;
    command.inspect().await?;
    let mut session = Session::new(&arguments.node, log_format)?;
    let options = arguments.placement.check_in_options();
    let mut placement = Placement::new(options, arguments.placement.offline_grace, Deadline::after(None));
    placement.lock(&session)?;
    let adopted = adopt(arguments, &session)?;

    let publisher = Arc::new(Publisher::new(session.node.name.clone(), session.node.cluster.token.to_string()));
    let noted = publisher.clone();
    session.progress.observe(move |step, reason, message| note(&noted, step, reason, message));
    if let NodeListen(Some(address)) = &arguments.node_listen {
        tokio::spawn(node_port::serve(node_port::bind(address).await?, publisher.subscribe()));
    }
    let service_manager = ServiceManager::from_environment(Progress::new(log_format, arguments.node.subject()));
    tokio::spawn(service_manager.clone().follow(publisher.subscribe()));
    tokio::spawn(reap_orphans(publisher.subscribe()));

    let restarts = Restarts::new(arguments.restart_pause);
    Agent { arguments, session, command, publisher, placement, restarts, service_manager, signals }.live(adopted).await
}

/// The etcd that already runs on the data directory, if there is one and the agent may take it over.
fn adopt(arguments: &RunArgs, session: &Session) -> Result<Option<EtcdProcess>, CommandError> {
    if !session.node.data.is_in_use()? {
        return Ok(None);
    }
    if !arguments.adopt {
        return Err(CommandError::Refused(format!(
            "etcd is already running on {}. To take it over, run `convene run --adopt`. Otherwise stop that etcd first",
            session.node.data_path.display()
        )));
    }
    let adopted = EtcdProcess::adopt(&session.node.data)?.ok_or_else(|| {
        CommandError::Refused(format!(
            "{} is in use, but no etcd of this user has locked both its database and its log; run `convene run` as the user of that etcd, \
             wait until the etcd has begun to load its log, or end the program that uses the data",
            session.node.data_path.display()
        ))
    })?;
    session.progress.step("adopt", &format!("taking over the running etcd, process {}", adopted.id()));
    Ok(Some(adopted))
}

/// The agent of a node.
struct Agent<'a> {
    arguments: &'a RunArgs,
    session: Session,
    command: EtcdCommand,
    publisher: Arc<Publisher>,
    placement: Placement,
    restarts: Restarts,
    service_manager: Arc<ServiceManager>,
    signals: Signals,
}

/// Why the agent no longer watches etcd.
enum Ended {
    /// etcd has ended by itself, or because its member was removed. It is not always known how.
    Exited(Option<Exit>),
    /// A signal asks the agent to stop.
    Asked,
}

impl Agent<'_> {
    /// Runs one etcd after another, the first of which may run already.
    async fn live(mut self, adopted: Option<EtcdProcess>) -> Result<ExitCode, CommandError> {
        let mut next = adopted.map(|etcd| (etcd, EtcdReadiness::none()));
        loop {
            let started = match next.take() {
                Some(running) => Some(running),
                None => self.start_etcd_once_placed().await?,
            };
            let Some((mut etcd, readiness)) = started else { return Ok(self.stop_without_etcd().await) };
            self.note_start(&etcd);
            match self.watch(&mut etcd, &readiness).await {
                Ended::Asked => return Ok(self.stop(etcd).await),
                Ended::Exited(exit) => {
                    let pause = self.note_exit(exit, &etcd);
                    if !self.sleep(pause).await {
                        return Ok(self.stop_without_etcd().await);
                    }
                }
            }
        }
    }

    /// Finds a place in the cluster, and starts etcd. `None` if a signal asks the agent to stop before.
    async fn start_etcd_once_placed(&mut self) -> Result<Option<(EtcdProcess, EtcdReadiness)>, CommandError> {
        loop {
            let started = tokio::select! {
                started = start_once_placed(&self.session, &mut self.placement, &self.publisher, &self.command) => started,
                request = self.signals.next() => match request {
                    Request::Stop => return Ok(None),
                    Request::Reload => {
                        self.reload().await;
                        continue;
                    }
                },
            };
            match started {
                Ok(started) => return Ok(Some(started)),
                Err(NotStarted::ForGood(error)) => {
                    self.publisher.enter(State::Refused, error.reason().as_str(), &error.to_string());
                    let status = self.publisher.subscribe().borrow().clone();
                    self.service_manager.ends(&status).await;
                    return Err(error);
                }
                // An upgrade may have left a program that does not fit its flags, or none.
                Err(NotStarted::Now(error)) => {
                    self.session.progress.wait("refuse", error.reason().as_str(), &error.to_string())
                }
            }
            if !self.sleep(REFUSED_INTERVAL).await {
                return Ok(None);
            }
        }
    }

    fn note_start(&mut self, etcd: &EtcdProcess) {
        let is_again = self.restarts.begin();
        self.publisher.update(|status| {
            status.process = Some(etcd.id());
            status.restarts += u64::from(is_again);
            false
        });
        self.publisher.enter(State::Loading, Reason::Loading.as_str(), "etcd's process runs, but does not answer yet");
    }

    /// Watches etcd until it exits, or until a signal asks the agent to stop.
    async fn watch(&mut self, etcd: &mut EtcdProcess, readiness: &EtcdReadiness) -> Ended {
        let mut watch = Watch::new(etcd.started(), self.session.node.data.disk(), etcd.log());
        loop {
            let mut tools = Tools { session: &self.session, publisher: &self.publisher, restarts: &mut self.restarts };
            tokio::select! {
                exit = etcd.exited() => return Ended::Exited(exit),
                request = self.signals.next() => match request {
                    Request::Stop => return Ended::Asked,
                    Request::Reload => self.reload().await,
                },
                never = watch.look_after(&mut tools, readiness) => match never {},
            }
        }
    }

    /// Reads certificates, keys and tokens again.
    async fn reload(&mut self) {
        self.service_manager.reloading().await;
        let message = match self.session.reload(&self.arguments.node) {
            Ok(()) => "certificates, keys and tokens were read again".to_owned(),
            Err(error) => format!("nothing was changed: {error}"),
        };
        self.session.progress.step("reload", &message);
        self.service_manager.reloaded().await;
    }

    /// Sleeps, and returns whether the agent goes on: false if a signal asks it to stop.
    async fn sleep(&mut self, time: Duration) -> bool {
        loop {
            tokio::select! {
                () = self.publisher.sleep(time) => return true,
                request = self.signals.next() => match request {
                    Request::Stop => return false,
                    Request::Reload => self.reload().await,
                },
            }
        }
    }

    /// Logs how etcd has ended, and returns the time after which to go on.
    fn note_exit(&mut self, exit: Option<Exit>, etcd: &EtcdProcess) -> Duration {
        let pause = self.restarts.pause_after(exit);
        // An etcd whose member is removed ends cleanly. Its lines are in the log already, and nobody has to read them.
        let last_lines = if exit == Some(Exit::Code(0)) { String::new() } else { etcd.last_lines() };
        let lines = if last_lines.is_empty() { String::new() } else { format!("; its last lines: {last_lines}") };
        let next = match pause {
            Duration::ZERO => "asking the registry what to do".to_owned(),
            pause => format!("asking the registry what to do in {}", humantime::format_duration(pause)),
        };
        let complaint = etcd.log().and_then(|log| log.cause());
        let cause = complaint.as_ref().map(|complaint| format!(": {complaint}")).unwrap_or_default();
        // Its last lines are in the log. The status has the one that tells why.
        let message = format!("etcd ended{}{cause}; {next}", how(exit));
        self.session.progress.step(OwnReason::EtcdExited.as_str(), &format!("{message}{lines}"));
        self.publisher.update(|status| {
            status.process = None;
            status.etcd = None;
            status.last_exit = exit;
            status.complaint = complaint;
            false
        });
        self.publisher.enter(State::BackingOff, OwnReason::EtcdExited.as_str(), &message);
        self.session.begin_run();
        pause
    }

    async fn stop_without_etcd(&self) -> ExitCode {
        self.service_manager.stopping().await;
        self.publisher.enter(State::Stopping, OwnReason::Signal.as_str(), "the agent stops; etcd does not run");
        stopping::prepare_without_etcd(&self.session, self.arguments).await;
        self.session.progress.step("stopped", "the agent ends; etcd does not run");
        self.publisher.enter(State::Stopped, OwnReason::Signal.as_str(), "the agent has ended");
        ExitCode::SUCCESS
    }

    /// Stops etcd in order. A second signal kills it.
    async fn stop(mut self, mut etcd: EtcdProcess) -> ExitCode {
        self.service_manager.stopping().await;
        self.publisher.enter(State::Stopping, OwnReason::Signal.as_str(), "the agent stops etcd");
        let within = self.arguments.stop_timeout;
        let has_left = tokio::select! {
            has_left = stopping::prepare(&self.session, self.arguments) => has_left,
            () = self.signals.stop() => return self.kill(etcd).await,
        };
        let code = tokio::select! {
            exit = etcd.stop(within) => self.end(exit, &etcd),
            () = self.signals.stop() => return self.kill(etcd).await,
        };
        // An etcd whose member is removed does not always end cleanly. A service manager must not start the node again for that.
        if has_left { ExitCode::SUCCESS } else { code }
    }

    /// Kills etcd, because a second signal asks for that.
    async fn kill(&self, mut etcd: EtcdProcess) -> ExitCode {
        self.session.progress.step("kill", "a second signal came: killing etcd");
        etcd.kill();
        let exit = etcd.exited().await;
        self.end(exit, &etcd)
    }

    fn end(&self, exit: Option<Exit>, etcd: &EtcdProcess) -> ExitCode {
        etcd.pass_on_log();
        let message = format!("etcd ended{}; the agent ends, too", how(exit));
        self.session.progress.step("stopped", &message);
        self.publisher.enter(State::Stopped, OwnReason::Signal.as_str(), &message);
        exit.map_or(ExitCode::SUCCESS, Exit::code_after_stop)
    }
}

fn how(exit: Option<Exit>) -> String {
    exit.map(|exit| format!(" {exit}")).unwrap_or_default()
}

/// Why etcd was not started.
enum NotStarted {
    /// A restart of the agent would change nothing.
    ForGood(CommandError),
    /// It may start later.
    Now(CommandError),
}

/// Finds a place in the cluster, and starts etcd.
///
/// The program is asked for its version before, because the instruction to start is valid for seconds only. It is asked again after a
/// refusal, and from time to time while the node is a spare: an upgrade exchanges it.
async fn start_once_placed(
    session: &Session,
    placement: &mut Placement,
    publisher: &Publisher,
    command: &EtcdCommand,
) -> Result<(EtcdProcess, EtcdReadiness), NotStarted> {
    let progress = &session.progress;
    let (program, config) = loop {
        let program = command.inspect().await.map_err(|error| NotStarted::Now(error.into()))?;
        placement.begin(program.etcd_version());
        if let Some(config) = find_place(session, placement, publisher).await.map_err(NotStarted::ForGood)? {
            break (program, config);
        }
    };
    program.warnings.iter().for_each(|warning| progress.step("warning", warning));
    let launch = command.launch(&program, &config).map_err(|error| NotStarted::Now(error.into()))?;
    let readiness = EtcdReadiness::new(&session.node.data_path, progress);
    progress.step_with_reason(config.action.as_str(), &config.reason, &config.message);
    let etcd = EtcdProcess::start(&launch, readiness.path()).map_err(NotStarted::Now)?;
    Ok((etcd, readiness))
}

/// Checks in until etcd can be started. `None` if the program should be looked at again. An error is for good.
async fn find_place(
    session: &Session,
    placement: &mut Placement,
    publisher: &Publisher,
) -> Result<Option<EtcdConfig>, CommandError> {
    let began = BootInstant::now();
    loop {
        session.show_status(publisher.reported(Vec::new()));
        let turn = placement.turn(session).await;
        publisher.turned(session);
        let after = match turn {
            Ok(Turn::Start(config)) => return Ok(Some(config)),
            Ok(Turn::CheckIn(after)) if publisher.state() == State::Spare && began.elapsed() >= INSPECT_INTERVAL => {
                publisher.sleep(after).await;
                return Ok(None);
            }
            Ok(Turn::CheckIn(after)) => after,
            Ok(Turn::Refused { instruction, remedy }) if is_final(&instruction.reason) => {
                return Err(CommandError::refused_for_good(&instruction, &remedy));
            }
            Ok(Turn::Refused { instruction, remedy }) => {
                let message = format!("{}; {remedy}", instruction.message);
                session.progress.wait(&instruction.name, &instruction.reason, &message);
                publisher.sleep(REFUSED_INTERVAL).await;
                return Ok(None);
            }
            Ok(Turn::Rejected(error)) if is_rejection_final(&error) => {
                return Err(CommandError::RefusedForGood(CommandError::from(error).to_string()));
            }
            Ok(Turn::Rejected(error)) => {
                session.progress.wait("refuse", error.reason(), &error.to_string());
                REFUSED_INTERVAL
            }
            // The disk may be all right again later, and another process may end that uses the data.
            Err(error @ (CommandError::Local(_) | CommandError::Refused(_))) => {
                session.progress.wait("refuse", error.reason().as_str(), &error.to_string());
                REFUSED_INTERVAL
            }
            Err(error) => return Err(error),
        };
        publisher.sleep(after).await;
    }
}

/// Publishes what the progress log says.
fn note(publisher: &Publisher, step: &str, reason: Option<&str>, message: &str) {
    let Some(reason) = reason else { return };
    let present = publisher.state();
    if matches!(present, State::Stopping | State::Stopped) {
        return;
    }
    let next = match State::of_task(step) {
        Some(State::Leaving) if present.has_etcd() => State::Leaving,
        Some(_) if present.has_etcd() => present,
        Some(State::Waiting) if present == State::Spare && SPARE_WAITS.contains(&reason) => present,
        Some(next) if !next.has_etcd() => next,
        _ => return,
    };
    if next == State::Spare {
        // A spare has no etcd that could need help.
        publisher.update(|status| status.complaint.take().is_some());
    }
    publisher.enter(next, reason, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_waits_for_reasons_of_the_registry() {
        for wait in SPARE_WAITS {
            let reason =
                Reason::ALL.iter().find(|reason| reason.as_str() == wait).expect("the registry has the reason");
            assert!(reason.tasks().iter().any(|task| State::of_task(task) == Some(State::Waiting)), "{wait}");
        }
    }

    #[test]
    fn a_spare_reports_no_complaint_of_an_etcd_that_it_had() {
        let publisher = Publisher::new("infra3".parse().unwrap(), "prod".to_owned());
        let complaints = || publisher.reported(Vec::new()).etcd.unwrap().errors;
        publisher.update(|status| {
            status.complaint = Some("bind: cannot assign requested address".to_owned());
            false
        });
        note(&publisher, "wait", Some("no_quorum"), "too few voters answer");
        assert_eq!(complaints().len(), 1);
        note(&publisher, "stand_by", Some("full"), "standing by as a spare");
        assert_eq!(complaints(), Vec::<String>::new());
    }
}
