use std::process::ExitCode;

use thiserror::Error;

use crate::{
    data_dir::DataDirError,
    registry::{Instruction, RegistryError},
};

/// Why a command ended without doing what it was asked for. Each kind has an exit code of its own, which stays.
#[derive(Debug, Error)]
pub enum Failure {
    /// Something on this machine: a file, a data directory, the output.
    #[error("{0}")]
    Local(String),
    /// A flag, a variable, or what they say together.
    #[error("{0}")]
    Usage(String),
    /// The registry, or etcd, does not allow it; somebody has to do something first.
    #[error("{0}")]
    Refused(String),
    /// `--timeout` is over.
    #[error("{0}")]
    TimedOut(String),
    /// The registry can't be reached, or does not answer as it should.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// What the registry refuses, and what somebody has to do about it.
    pub fn refused(instruction: &Instruction, remedy: &str) -> Self {
        Self::Refused(format!("{}; {remedy} ({})", instruction.message, instruction.reason))
    }

    /// The kinds with their exit codes, as `convene --help` and docs/client.md show them. 2 is also what the command
    /// line's own errors end with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Local(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::TimedOut(_) => 4,
            Self::Unreachable(_) => 5,
        })
    }

    /// The kind's word, for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Local(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Refused(_) => "refused",
            Self::TimedOut(_) => "timed_out",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::Unreachable { .. } | RegistryError::Unavailable { .. } | RegistryError::NotOurs { .. } => {
                Self::Unreachable(error.to_string())
            }
            // What is wrong with the request, the command line has said.
            RegistryError::Refused(problem) if problem.status == 400 => Self::Usage(problem.to_string()),
            RegistryError::Refused(_) => Self::Refused(error.to_string()),
        }
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::Local(error.to_string())
    }
}
