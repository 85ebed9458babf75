use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    time::Duration,
};

use thiserror::Error;

use super::Origin;
use crate::{command_error::CommandError, one_line::one_line, output::OutputError, state_dir::StateDirError};

/// Why etcd can't be started by the command after `--`.
#[derive(Debug, Error)]
pub enum EtcdCommandError {
    /// The command is empty.
    #[error("there is no command of etcd; write it after `--`, such as `-- etcd --name=infra0`")]
    NoProgram,
    /// etcd accepts nothing but flags.
    #[error(
        "{0} is not a flag of etcd; write `-- etcd --FLAG=VALUE …`. For a program in front of etcd, such as sudo, write a script that \
         ends with `exec etcd \"$@\"`, and use that script as the command"
    )]
    NotAFlag(String),
    /// It is not clear whether the flag has a value.
    #[error("the flag --{0} of etcd has no value, or one that begins with a dash; write --{0}=VALUE")]
    NoValue(String),
    /// etcd would print something and exit.
    #[error("with the flag --{0}, etcd does not run as a server; remove the flag, or run etcd itself")]
    Prints(String),
    /// etcd would form a new cluster at each start.
    #[error(
        "{0} would remove all other members whenever etcd starts; to recover a cluster from one member, run etcd itself with this \
         setting, stop it, remove the setting, and run `convene run` again"
    )]
    ForceNewCluster(Origin),
    /// etcd would not be a member.
    #[error("{0} makes etcd a proxy, which is not a member of a cluster; remove the setting, or run etcd itself")]
    Proxy(Origin),
    /// etcd would refuse to start (`embed/config.go:ErrUnsetAdvertiseClientURLsFlag`).
    #[error("with {0}, etcd does not start without --advertise-client-urls; add this flag of etcd")]
    NoAdvertisedUrls(Origin),
    /// The configuration file of etcd can't be used.
    #[error("the configuration file of etcd {path}: {problem}")]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The program can't be started.
    #[error("cannot run {program}: {source}; the command after `--` must begin with the path of etcd")]
    CannotRun {
        /// The program.
        program: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The program does not end when it is asked for its version.
    #[error(
        "`{program} --version` does not end within {limit:?}; the command must be etcd, or a script that ends with `exec etcd \"$@\"`"
    )]
    NoEnd {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// This version lacks the flag.
    #[error("etcd {version} ({program}) has no flag --{flag}; remove the flag, or run a version of etcd that has it")]
    UnknownFlag {
        /// The flag, as it was given.
        flag: String,
        /// The program.
        program: String,
        /// Its version.
        version: String,
    },
    /// etcd does not accept its flags.
    #[error("etcd {version} ({program}) does not accept its flags: {found}")]
    Rejected {
        /// The program.
        program: String,
        /// Its version.
        version: String,
        /// What etcd reports.
        found: String,
    },
    /// A setting can't be passed to etcd.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The directory for the configuration file can't be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The configuration file for etcd can't be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl EtcdCommandError {
    /// The error for an argument. It may be a discovery URL in the wrong place, which is a secret.
    pub(super) fn not_a_flag(argument: &OsStr) -> Self {
        let text = argument.to_string_lossy();
        let is_shown = !text.contains("://") && text.chars().count() <= MAX_SHOWN;
        Self::NotAFlag(if is_shown { format!("`{}`", one_line(&text)) } else { "an argument".to_owned() })
    }

    pub(super) fn config_file(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::ConfigFile { path: path.to_owned(), problem: problem.into() }
    }
}

/// The longest argument that an error repeats.
const MAX_SHOWN: usize = 16;

/// The program as messages show it.
pub fn shown(program: &OsString) -> String {
    one_line(&program.to_string_lossy()).into_owned()
}

impl From<EtcdCommandError> for CommandError {
    fn from(error: EtcdCommandError) -> Self {
        match error {
            EtcdCommandError::StateDir(_) | EtcdCommandError::Write { .. } | EtcdCommandError::CannotRun { .. } => {
                Self::Local(error.to_string())
            }
            _ => Self::Usage(error.to_string()),
        }
    }
}
