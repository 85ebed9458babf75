use std::process::ExitCode;

use thiserror::Error;

use crate::{
    data_dir::DataDirError,
    registry::{ClearTextToken, Instruction, RegistryError, SetupError},
    state_dir::StateDirError,
};

/// Why a command failed. Each kind has its own exit code; the codes are part of the interface.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Something on this machine failed: a file, the data directory, the output.
    #[error("{0}")]
    Local(String),
    /// A flag, a variable, or their combination is wrong.
    #[error("{0}")]
    Usage(String),
    /// The registry or etcd refuses the request. A person has to act before a retry can succeed.
    #[error("{0}")]
    Refused(String),
    /// The registry refuses the node until its own configuration, program or data is changed. A service manager should not restart
    /// the command.
    #[error("{0}")]
    RefusedForGood(String),
    /// `--timeout` has passed.
    #[error("{0}")]
    TimedOut(String),
    /// The registry is unreachable or unavailable, or the URL is not a Convene server.
    #[error("{0}")]
    Unreachable(String),
}

impl CommandError {
    /// The registry refuses the node; the remedy is what a person can do about it.
    pub fn refused(instruction: &Instruction, remedy: &str) -> Self {
        Self::Refused(format!("{}; {remedy} ({})", instruction.message, instruction.reason))
    }

    /// [`CommandError::refused`], for good.
    pub fn refused_for_good(instruction: &Instruction, remedy: &str) -> Self {
        Self::RefusedForGood(format!("{}; {remedy} ({})", instruction.message, instruction.reason))
    }

    /// The same error after something has succeeded.
    pub fn after(self, done: &str) -> Self {
        let with = |message: String| format!("{done}: {message}");
        match self {
            Self::Local(message) => Self::Local(with(message)),
            Self::Usage(message) => Self::Usage(with(message)),
            Self::Refused(message) => Self::Refused(with(message)),
            Self::RefusedForGood(message) => Self::RefusedForGood(with(message)),
            Self::TimedOut(message) => Self::TimedOut(with(message)),
            Self::Unreachable(message) => Self::Unreachable(with(message)),
        }
    }

    /// The exit codes that `convene --help` and docs/reference/exit-codes.md list. clap also exits with 2 on a command line that it
    /// rejects.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Local(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::TimedOut(_) => 4,
            Self::Unreachable(_) => 5,
            Self::RefusedForGood(_) => 6,
        })
    }

    /// The `step` of this error's line in the progress log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Local(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Refused(_) | Self::RefusedForGood(_) => "refused",
            Self::TimedOut(_) => "timed_out",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<RegistryError> for CommandError {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::Unreachable { .. }
            | RegistryError::Unavailable { .. }
            | RegistryError::NotConvene { .. } => Self::Unreachable(error.to_string()),
            // What is wrong with the request comes from the command line.
            RegistryError::Refused(problem) if problem.status == 400 => Self::Usage(problem.to_string()),
            RegistryError::Refused(_) | RegistryError::Denied(_) => Self::Refused(error.to_string()),
            RegistryError::Credential(_) => Self::Local(error.to_string()),
            RegistryError::UnknownCluster { .. } => Self::Refused(format!(
                "{error}; check the discovery URL: `convene cluster list` lists the clusters of this registry ({})",
                error.reason()
            )),
        }
    }
}

impl From<SetupError> for CommandError {
    fn from(error: SetupError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<DataDirError> for CommandError {
    fn from(error: DataDirError) -> Self {
        Self::Local(error.to_string())
    }
}

impl From<StateDirError> for CommandError {
    fn from(error: StateDirError) -> Self {
        Self::Local(error.to_string())
    }
}

impl From<ClearTextToken> for CommandError {
    fn from(error: ClearTextToken) -> Self {
        Self::Usage(error.to_string())
    }
}
