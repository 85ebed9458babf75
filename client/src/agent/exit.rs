//! Exit codes: of etcd, and of the agent.

use std::{fmt, process::ExitCode};

use super::status::Exit;
use crate::registry::RegistryError;

/// The reasons for which a node is refused until its own settings are changed. A restart would change nothing, so the agent ends with
/// an exit code that tells the service manager not to try.
const FINAL: [&str; 2] = ["name_taken", "peer_url_taken"];

/// Whether a refusal with this reason is for good. Others may pass, because of other nodes or of an administrator.
pub fn is_final(reason: &str) -> bool {
    FINAL.contains(&reason)
}

/// Whether the registry will give the same answer until this node gets another credential or join token. A cluster that it does not
/// know may be that of a database which is restored.
pub fn is_rejection_final(error: &RegistryError) -> bool {
    error.denial().is_some()
}

/// SIGINT and SIGTERM.
const STOP_SIGNALS: [i32; 2] = [2, 15];

impl Exit {
    /// Whether this is how etcd ends when it is asked to. It raises the signal again after its clean-up, or exits with 0 if it runs
    /// as PID 1 (`pkg/osutil/interrupt_unix.go:HandleInterrupts`). A shell in between shows the signal as 128 plus its number.
    pub fn is_clean(self) -> bool {
        match self {
            Self::Code(code) => code == 0 || STOP_SIGNALS.contains(&(code - 128)),
            Self::Signal(signal) => STOP_SIGNALS.contains(&signal),
        }
    }

    /// The exit code of the agent after it has stopped etcd: 0 after a clean stop, and else that of etcd.
    pub fn code_after_stop(self) -> ExitCode {
        match self {
            exit if exit.is_clean() => ExitCode::SUCCESS,
            Self::Code(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
            Self::Signal(signal) => u8::try_from(128 + signal).map_or(ExitCode::FAILURE, ExitCode::from),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "with exit code {code}"),
            Self::Signal(signal) => write!(f, "by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::Reason;

    use super::*;

    #[test]
    fn an_etcd_that_was_asked_to_end_ends_cleanly() {
        for clean in [Exit::Code(0), Exit::Signal(15), Exit::Signal(2), Exit::Code(143), Exit::Code(130)] {
            assert!(clean.is_clean(), "{clean}");
        }
        for failed in [Exit::Code(1), Exit::Code(2), Exit::Signal(9), Exit::Signal(6), Exit::Code(137)] {
            assert!(!failed.is_clean(), "{failed}");
        }
    }

    #[test]
    fn final_reasons_are_refusals_of_the_registry() {
        for reason in FINAL {
            let known = Reason::ALL.iter().find(|known| known.as_str() == reason).expect("the registry has the reason");
            assert!(known.tasks().contains(&"refuse"), "{reason}");
        }
    }
}
