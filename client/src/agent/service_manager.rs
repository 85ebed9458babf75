//! What the agent reports to the service manager that has started it, such as systemd, by the protocol of `sd_notify(3)`.
//!
//! The protocol is a datagram of lines `NAME=VALUE` to the socket that `NOTIFY_SOCKET` names. It is written here, and not taken
//! from a library, because the libraries read the variable for each message, connect to no abstract socket, and block while
//! the manager does not read.

#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr},
    },
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    net::UnixDatagram,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{state::State, status::Status};
use crate::progress::Progress;

/// How long the service manager waits for the next message while the node is not ready. Each message begins this time anew
/// (`EXTEND_TIMEOUT_USEC`), so that a node may wait for other founders for longer than the unit's `TimeoutStartSec=`. An agent
/// that hangs extends nothing.
const EXTENSION: Duration = Duration::from_secs(30);

/// How long the agent waits at most between two looks at its status.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a message may wait until the service manager has room for it.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The bytes of the status that are shown. systemd ignores messages of more than 4096 bytes
/// (`src/core/manager.c:manager_dispatch_notify_fd`).
const STATUS_LENGTH: usize = 2048;

/// The service manager that has started the agent.
pub struct ServiceManager {
    /// Its socket; `None` if there is no manager that wants reports.
    address: Option<SocketAddr>,
    /// How long the manager waits for a sign of life. It kills an agent that gives none.
    watchdog: Option<Duration>,
    /// Whether it has been told that the node is ready.
    is_ready: AtomicBool,
    progress: Progress,
}

impl ServiceManager {
    /// The service manager that the environment names, and where to log what goes wrong with it. An address that can't be used is
    /// logged, too: it is no reason to leave a node without etcd.
    pub fn from_environment(progress: Progress) -> Arc<Self> {
        Arc::new(Self::new(&|name| env::var_os(name), process::id(), progress))
    }

    fn new(variable: &dyn Fn(&str) -> Option<OsString>, process: u32, progress: Progress) -> Self {
        let socket = variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        let address = socket.and_then(|socket| {
            let address = address_of(socket.as_bytes());
            if let Err(error) = &address {
                let socket = socket.to_string_lossy();
                let message = format!(
                    "NOTIFY_SOCKET is {socket}, which can't be used ({error}); the service manager gets no reports"
                );
                progress.step("warning", &message);
            }
            address.ok()
        });
        Self { address, watchdog: watchdog(variable, process), is_ready: AtomicBool::new(false), progress }
    }

    /// Reports the status until the agent ends: that the node is ready (a member that serves, or a spare), each change of what it
    /// does, and signs of life while the agent's loop turns. Returns at once if there is no service manager.
    pub async fn follow(self: Arc<Self>, mut status: watch::Receiver<Status>) {
        if self.address.is_none() {
            return;
        }
        let look_every = self.watchdog.map_or(LOOK_EVERY, |watchdog| LOOK_EVERY.min(watchdog / 8));
        let mut reported = Reported::default();
        loop {
            let now = status.borrow_and_update().clone();
            self.report(&now, &mut reported).await;
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = sleep(look_every) => {}
            }
        }
    }

    /// Reports that the agent stops.
    pub async fn stopping(&self) {
        self.send("STOPPING=1").await;
    }

    /// Reports that the agent reads its configuration again. [`ServiceManager::reloaded`] must follow, whether that succeeds or not.
    pub async fn reloading(&self) {
        // A manager that waits for the node to be ready would take the end of a reload for that.
        if self.is_ready.load(Ordering::Relaxed) {
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}")).await;
        }
    }

    /// Reports that the agent has read its configuration.
    pub async fn reloaded(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            self.send("READY=1").await;
        }
    }

    /// Reports the last status of an agent that ends by itself. The task that follows the status may not get to it any more.
    pub async fn ends(&self, status: &Status) {
        self.send(&format!("STATUS={}", shown(status))).await;
    }

    /// Sends what the manager does not know yet. A message that it did not take is sent again at the next look.
    async fn report(&self, status: &Status, reported: &mut Reported) {
        let turns = status.hangs_for().is_none();
        let was_ready = self.is_ready.load(Ordering::Relaxed);
        let is_ready = was_ready || matches!(status.state, State::Learner | State::Voter | State::Spare);
        let mut lines = Vec::new();
        if is_ready && !was_ready {
            lines.push("READY=1".to_owned());
        }
        if !is_ready && turns && !matches!(status.state, State::Stopping | State::Stopped) {
            lines.push(format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
        }
        let line = shown(status);
        if line != reported.status {
            lines.push(format!("STATUS={line}"));
        }
        let gives_sign = turns && self.watchdog.is_some_and(|watchdog| reported.sign_is_due(watchdog));
        if gives_sign {
            lines.push("WATCHDOG=1".to_owned());
        }
        if lines.is_empty() || !self.send(&lines.join("\n")).await {
            return;
        }
        self.is_ready.store(is_ready, Ordering::Relaxed);
        reported.status = line;
        if gives_sign {
            reported.sign = Some(Instant::now());
        }
    }

    /// Sends a message. Returns whether the manager has taken it.
    async fn send(&self, message: &str) -> bool {
        let Some(address) = &self.address else { return false };
        let sent = timeout(SEND_TIMEOUT, send(address, message)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = &sent {
            self.progress.step("warning", &format!("the service manager does not take the agent's report: {error}"));
        }
        sent.is_ok()
    }
}

/// The status as the manager shows it.
fn shown(status: &Status) -> String {
    let mut line = status.to_line();
    line.truncate(line.floor_char_boundary(STATUS_LENGTH));
    line
}

/// What the service manager has been told.
#[derive(Debug, Default)]
struct Reported {
    /// The status; empty if none.
    status: String,
    /// The last sign of life.
    sign: Option<Instant>,
}

impl Reported {
    /// Whether half of the time has passed. The next looks can still give a sign in time if the loop turns late this once, as
    /// after a suspension.
    fn sign_is_due(&self, watchdog: Duration) -> bool {
        self.sign.is_none_or(|sign| sign.elapsed() >= watchdog / 2)
    }
}

/// Each message has a connection of its own, because the manager may have been started again meanwhile.
async fn send(address: &SocketAddr, message: &str) -> io::Result<()> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    UnixDatagram::from_std(socket)?.send(message.as_bytes()).await.map(|_| ())
}

/// An absolute path, or `@` and an abstract name. systemd also has `vsock:` for virtual machines, whose first process is never this
/// one.
fn address_of(socket: &[u8]) -> io::Result<SocketAddr> {
    match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(socket))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither an absolute path nor an abstract name")),
    }
}

/// The time of the watchdog, if it is meant for this process (`sd_watchdog_enabled(3)`).
fn watchdog(variable: &dyn Fn(&str) -> Option<OsString>, process: u32) -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    let is_meant = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process.into());
    let microseconds = number("WATCHDOG_USEC").filter(|microseconds| is_meant && ![0, u64::MAX].contains(microseconds));
    microseconds.map(Duration::from_micros)
}
