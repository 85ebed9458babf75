//! The signals that the agent handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command_error::CommandError;

/// The signals for the agent.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: stop.
    Stop,
    /// SIGHUP: read certificates, keys and tokens again.
    Reload,
}

impl Signals {
    /// Handles the signals from now on.
    pub fn new() -> Result<Self, CommandError> {
        let handle =
            |kind| signal(kind).map_err(|error| CommandError::Local(format!("cannot handle signals: {error}")));
        Ok(Self {
            terminate: handle(SignalKind::terminate())?,
            interrupt: handle(SignalKind::interrupt())?,
            hang_up: handle(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hang_up.recv() => Request::Reload,
        }
    }

    /// Waits for the next signal that asks the agent to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Request::Stop {}
    }
}
