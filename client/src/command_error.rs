use std::process::ExitCode;

use thiserror::Error;

use crate::{
    data_dir::DataDirError,
    own_reason::OwnReason,
    registry::{ClearTextToken, Instruction, RegistryError, SetupError},
    state_dir::StateDirError,
};

/// Declares the kinds of errors: each with its exit code, its word in the log, and its description.
macro_rules! command_errors {
    ($($variant:ident $code:literal $word:literal $description:literal;)+) => {
        /// Why a command failed. Each kind has its own exit code; the codes are part of the interface.
        #[derive(Debug, Error)]
        pub enum CommandError {
            $(
                #[doc = $description]
                #[error("{0}")]
                $variant(String),
            )+
        }

        impl CommandError {
            /// Every exit code, with its word.
            #[cfg(test)]
            const ALL: &[(u8, &str)] = &[$(($code, $word),)+];

            /// The same error after something has succeeded.
            pub fn after(self, done: &str) -> Self {
                match self {
                    $(Self::$variant(message) => Self::$variant(format!("{done}: {message}")),)+
                }
            }

            /// The exit code. clap also exits with 2 on a command line that it rejects.
            pub fn exit_code(&self) -> ExitCode {
                match self {
                    $(Self::$variant(_) => ExitCode::from($code),)+
                }
            }

            /// The `step` of this error's line in the progress log.
            pub fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $word,)+
                }
            }
        }
    };
}

// `convene --help` and docs/reference/exit-codes.md list them.
command_errors! {
    Local 1 "failed" "An operation on this machine failed, for example on a file, the data directory or the output.";
    Usage 2 "usage" "A flag, a variable, or their combination is wrong.";
    Refused 3 "refused" "The registry or etcd refuses the request. A person has to act before a retry can succeed.";
    TimedOut 4 "timed_out" "`--timeout` has passed.";
    Unreachable 5 "unreachable" "The registry is unreachable or unavailable, or the URL is not a Convene server.";
    RefusedForGood 6 "refused"
        "The registry refuses the node until its own configuration, program or data is changed. A service manager should not restart the command.";
}

impl CommandError {
    /// The reason with which an agent waits after this error. An agent has no `--timeout`.
    pub fn reason(&self) -> OwnReason {
        match self {
            Self::Local(_) => OwnReason::Failed,
            Self::Usage(_) => OwnReason::Usage,
            Self::Refused(_) | Self::RefusedForGood(_) => OwnReason::Refused,
            Self::TimedOut(_) | Self::Unreachable(_) => OwnReason::Unreachable,
        }
    }

    /// The registry refuses the node; the remedy is what a person can do about it.
    pub fn refused(instruction: &Instruction, remedy: &str) -> Self {
        Self::Refused(format!("{}; {remedy} ({})", instruction.message, instruction.reason))
    }

    /// [`CommandError::refused`], for good.
    pub fn refused_for_good(instruction: &Instruction, remedy: &str) -> Self {
        Self::RefusedForGood(format!("{}; {remedy} ({})", instruction.message, instruction.reason))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;
    use convene_harness::{Section, code_spans};

    use super::*;
    use crate::cli::Cli;

    const PAGE: &str = "docs/reference/exit-codes.md";

    fn codes() -> BTreeSet<u8> {
        CommandError::ALL.iter().map(|(code, _)| *code).collect()
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = Cli::command().get_after_help().unwrap().to_string();
        let (_, list) = help.split_once("Exit codes:").unwrap();
        let listed: BTreeSet<u8> =
            list.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        assert_eq!(listed, &codes() | &BTreeSet::from([0]));
    }

    #[test]
    fn the_reference_has_every_exit_code_with_its_word() {
        let page = Section::read(PAGE, "At a glance");
        let rows = page.rows("code");
        let listed: BTreeSet<u8> =
            rows.iter().filter(|row| !row[1].is_empty()).filter_map(|row| row[0].parse().ok()).collect();
        // A defect ends a Rust program with 101.
        assert_eq!(listed, &codes() | &BTreeSet::from([0, 101]));
        let rows = page.rows("word");
        let words: BTreeSet<_> = rows
            .iter()
            .flat_map(|row| row[1].split(", ").map(|code| (code.parse().unwrap(), code_spans(row[0]).next().unwrap())))
            .collect();
        assert_eq!(words, CommandError::ALL.iter().copied().collect());
    }

    #[test]
    fn the_reference_names_every_command() {
        let page = include_str!("../../docs/reference/exit-codes.md");
        let cli = Cli::command();
        let names = cli.get_subcommands().map(|command| format!("convene {}", command.get_name()));
        let missing: Vec<_> = names.filter(|name| !page.contains(name)).collect();
        assert!(missing.is_empty(), "{PAGE} lacks {missing:?}");
    }

    #[test]
    fn troubleshooting_has_an_entry_for_each_exit_code() {
        let page = Section::read("docs/troubleshooting.md", "Exit codes");
        let entries = page.headings().filter_map(|heading| heading.strip_prefix("Exit code ")?.parse().ok());
        assert_eq!(entries.collect::<BTreeSet<u8>>(), codes());
    }
}
