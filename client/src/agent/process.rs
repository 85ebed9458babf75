//! etcd's process.

mod running;

use std::{
    io, os::unix::process::ExitStatusExt, path::Path, process::ExitStatus, process::Stdio, sync::Arc, time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;

use super::{log::Log, status::Exit};
use crate::{boot_clock::BootInstant, command_error::CommandError, data_dir::DataDir, etcd_command::Launch};
use running::Running;

/// How often the agent looks whether processes are left that a script has started.
const GROUP_INTERVAL: Duration = Duration::from_millis(50);

/// An etcd that the agent looks after. It goes on if the agent is killed.
#[derive(Debug)]
pub struct EtcdProcess {
    pid: Pid,
    started: BootInstant,
    handle: Handle,
    /// `None` if it writes to where the agent can't read.
    log: Option<Arc<Log>>,
}

/// How the agent learns that the process has ended.
#[derive(Debug)]
enum Handle {
    /// The agent has started it.
    Child(Child),
    /// Another agent has started it, or nobody's agent.
    Adopted(Running),
}

impl EtcdProcess {
    /// Starts etcd. `notify_socket` is where it reports that it serves.
    pub fn start(launch: &Launch, notify_socket: Option<&Path>) -> Result<Self, CommandError> {
        let program = launch.program.to_string_lossy();
        let failed = |error: io::Error| CommandError::Local(format!("cannot start {program}: {error}"));
        let log = Log::new().map_err(failed)?;
        let mut command = launch.command();
        command.stdin(Stdio::null());
        command.stdout(log.writer().map_err(failed)?).stderr(log.writer().map_err(failed)?);
        // Control-C at a terminal is for the agent, which then stops etcd in order.
        command.process_group(0);
        if let Some(path) = notify_socket {
            command.env("NOTIFY_SOCKET", path);
        }
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.expect("a process that was just started has an ID");
        Ok(Self { pid, started: BootInstant::now(), handle: Handle::Child(child), log: Some(Arc::new(log)) })
    }

    /// Takes over the etcd that runs on a data directory; `None` if this user does not run it.
    pub fn adopt(data: &DataDir) -> Result<Option<Self>, CommandError> {
        let failed = |error: io::Error| CommandError::Local(format!("cannot watch the process of etcd: {error}"));
        let Some(running) = Running::find(data).map_err(failed)? else { return Ok(None) };
        let (pid, started) = (running.pid(), running.started());
        Ok(Some(Self { pid, started, log: Log::resume(pid).map(Arc::new), handle: Handle::Adopted(running) }))
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// When its process was started.
    pub fn started(&self) -> BootInstant {
        self.started
    }

    /// Its log; `None` if it writes to where the agent can't read.
    pub fn log(&self) -> Option<Arc<Log>> {
        self.log.clone()
    }

    /// Passes on what it has written so far.
    pub fn pass_on_log(&self) {
        self.log.as_ref().map(|log| log.last_lines());
    }

    /// Waits until it has ended. `None` if only its parent knows how.
    pub async fn exited(&mut self) -> Option<Exit> {
        match &mut self.handle {
            Handle::Child(child) => Some(child.wait().await.expect("the agent is the parent of the process").into()),
            Handle::Adopted(running) => {
                running.exited().await;
                None
            }
        }
    }

    /// Asks it to end, and kills it if that takes longer. A script may end at once, before the etcd that it runs.
    pub async fn stop(&mut self, within: Duration) -> Option<Exit> {
        self.signal(Signal::TERM);
        let stopping = async {
            let exit = self.exited().await;
            self.group_ended().await;
            exit
        };
        if let Ok(exit) = tokio::time::timeout(within, stopping).await {
            return exit;
        }
        self.kill();
        self.exited().await
    }

    /// Waits until no process is left that the agent's child has started.
    async fn group_ended(&self) {
        while matches!(self.handle, Handle::Child(_)) && test_kill_process_group(self.pid).is_ok() {
            tokio::time::sleep(GROUP_INTERVAL).await;
        }
    }

    /// Kills it.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Its last lines, as one text.
    pub fn last_lines(&self) -> String {
        self.log.as_ref().map(|log| log.last_lines().join(" | ")).unwrap_or_default()
    }

    /// A process that has ended needs no signal. If the agent has started a script, what the script runs gets the signal, too.
    fn signal(&self, signal: Signal) {
        match &self.handle {
            // Its ID is not used again before the agent has learned of its end.
            Handle::Child(child) if child.id().is_some() => {
                let _ = kill_process_group(self.pid, signal);
            }
            Handle::Child(_) => {}
            Handle::Adopted(running) => running.signal(signal),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => unreachable!("a process that has ended has an exit code or was ended by a signal"),
        }
    }
}
