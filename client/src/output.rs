//! The configuration of etcd, in formats for shells, systemd and programs.

use std::{ffi::OsString, path::PathBuf};

use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};
use serde::Serialize;
use thiserror::Error;

use crate::{etcd_command::variable_of, one_line::is_unsafe};

mod dropin;
mod env;
mod flags;
mod json;
#[cfg(test)]
pub(crate) mod tests;

/// The configuration to start etcd with.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// The effect of the start.
    pub action: Action,
    /// `--name`
    pub name: MemberName,
    /// `--data-dir`
    pub data_dir: PathBuf,
    /// `--wal-dir`, if it is configured.
    pub wal_dir: Option<PathBuf>,
    /// `--initial-advertise-peer-urls`
    pub initial_advertise_peer_urls: Vec<PeerUrl>,
    /// `--initial-cluster`. etcd needs none if it has data.
    pub initial_cluster: Option<String>,
    /// `--initial-cluster-state`
    pub initial_cluster_state: InitialClusterState,
    /// `--initial-cluster-token`
    pub initial_cluster_token: Option<String>,
    /// `--advertise-client-urls`, if they are configured.
    pub advertise_client_urls: Vec<ClientUrl>,
    /// The reason code of the instruction.
    pub reason: String,
    /// The reason as a sentence.
    pub message: String,
}

/// The effect of starting etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It forms a new cluster, alone or with others.
    Bootstrap,
    /// It continues from its data.
    Start,
    /// It joins a running cluster.
    Join,
}

/// `--initial-cluster-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialClusterState {
    /// `new`
    New,
    /// `existing`
    Existing,
}

/// The output formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Variables, for `eval` in a shell and for `EnvironmentFile=` of systemd
    #[default]
    Env,
    /// Drop-in for the systemd unit of etcd
    Dropin,
    /// Flags, for the command line of etcd
    Flags,
    /// JSON object, for programs
    Json,
}

/// A rendered configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text for standard output. It ends with one newline.
    pub text: String,
    /// Warnings for the log.
    pub warnings: Vec<String>,
}

/// Why a configuration can't be rendered in a format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutputError {
    /// A path is not UTF-8. systemd drops such variables, and JSON can't represent them.
    #[error("--{flag} {value:?} is not UTF-8; choose another path")]
    NotUtf8 {
        /// etcd's flag
        flag: &'static str,
        /// Its value, with replacement characters
        value: String,
    },
    /// A value has a control character. systemd drops such variables (`env_value_is_valid`), and an unquoted
    /// `eval $(…)` replaces newlines and tabs with spaces.
    #[error(
        "--{flag} {value:?} has a control or an invisible character, which shells and systemd treat differently; choose another value"
    )]
    ControlCharacter {
        /// etcd's flag
        flag: &'static str,
        /// Its value
        value: String,
    },
    /// A shell would split or expand the value in an unquoted `$(convene join -o flags)`.
    #[error("--{flag} {value:?} has {character:?}, which a shell would change on the command line of etcd; use -o env")]
    ShellUnsafe {
        /// etcd's flag
        flag: &'static str,
        /// Its value
        value: String,
        /// The character that is special to a shell
        character: char,
    },
    /// etcd refuses to start with a flag whose variable is set (`pkg/flags/flag.go:verifyEnv`).
    #[error(
        "{variable} is {set:?} in the environment, but must be {wanted:?}, and etcd does not accept both the flag and the \
         variable; run `unset {variable}`, or use -o env"
    )]
    Shadowed {
        /// The variable
        variable: String,
        /// Its value, with replacement characters
        set: String,
        /// What the flag would say
        wanted: String,
    },
}

impl EtcdConfig {
    /// Renders the configuration. `environment` looks up the variables that etcd will start with: those of this process, as
    /// far as anything is known.
    pub fn render(
        &self,
        format: Format,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Rendered, OutputError> {
        let settings = self.settings()?;
        Ok(match format {
            Format::Env => Rendered { text: env::text(&settings)?, warnings: override_warnings(environment) },
            Format::Dropin => Rendered { text: dropin::text(&settings)?, warnings: Vec::new() },
            Format::Flags => Rendered {
                text: flags::text(self.action, &settings, environment)?,
                warnings: flags::warnings(environment).into_iter().chain(override_warnings(environment)).collect(),
            },
            Format::Json => Rendered { text: json::text(self, &settings), warnings: Vec::new() },
        })
    }

    /// The settings of etcd, in the order of the output.
    pub fn settings(&self) -> Result<Vec<Setting>, OutputError> {
        let path = |flag, path: &PathBuf| match path.to_str() {
            Some(value) => Ok(Setting { flag, value: value.to_owned() }),
            None => Err(OutputError::NotUtf8 { flag, value: path.to_string_lossy().into_owned() }),
        };
        let text = |flag, value: &str| Setting { flag, value: value.to_owned() };
        let urls = |flag, urls: Vec<&str>| (!urls.is_empty()).then(|| text(flag, &urls.join(",")));
        let peer_urls = self.initial_advertise_peer_urls.iter().map(PeerUrl::as_str).collect();
        let client_urls = self.advertise_client_urls.iter().map(ClientUrl::as_str).collect();

        let mut settings = vec![text("name", self.name.as_str()), path("data-dir", &self.data_dir)?];
        if let Some(wal_dir) = &self.wal_dir {
            settings.push(path("wal-dir", wal_dir)?);
        }
        settings.extend(urls("initial-advertise-peer-urls", peer_urls));
        settings.extend(self.initial_cluster.as_deref().map(|cluster| text("initial-cluster", cluster)));
        settings.push(text("initial-cluster-state", self.initial_cluster_state.as_str()));
        settings.extend(self.initial_cluster_token.as_deref().map(|token| text("initial-cluster-token", token)));
        settings.extend(urls("advertise-client-urls", client_urls));
        Ok(settings)
    }
}

impl Action {
    /// The name of the task that asks for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Start => "start",
            Self::Join => "join",
        }
    }
}

impl InitialClusterState {
    /// The value of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// Variables that must not reach etcd. With `--initial-cluster` and any of the first three, etcd exits with "multiple
/// discovery or bootstrap flags are set"; with the token alone, etcd 3.6 and later exits with "both --discovery-token and
/// --discovery-endpoints must be set" (`embed/config.go:Validate`). An empty variable is as good as an unset one: etcd
/// skips it (`pkg/flags/flag.go:setFlagFromEnv`, 3.4 to 3.7), and at most logs that it does not know the variable.
///
/// `ETCD_FORCE_NEW_CLUSTER` is not one of them: it is set on purpose, to recover a cluster from one member.
const CONFLICTING_VARIABLES: [&str; 4] =
    ["ETCD_DISCOVERY", "ETCD_DISCOVERY_ENDPOINTS", "ETCD_DISCOVERY_SRV", "ETCD_DISCOVERY_TOKEN"];

/// A flag or variable of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of the flag, without dashes.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

impl Setting {
    /// The name of the variable.
    fn variable(&self) -> String {
        variable_of(self.flag)
    }

    /// The value, if it has no control characters, and none that change how a terminal shows it.
    fn printable(&self) -> Result<&str, OutputError> {
        if self.value.contains(is_unsafe) {
            return Err(OutputError::ControlCharacter { flag: self.flag, value: self.value.clone() });
        }
        Ok(&self.value)
    }
}

/// Warnings about variables that override this configuration.
fn override_warnings(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment("ETCD_CONFIG_FILE").is_some_and(|value| !value.is_empty()) {
        // etcd then reads nothing but the file (`etcdmain/config.go:parse`).
        warnings
            .push("ETCD_CONFIG_FILE is set: etcd will read that file and ignore the printed configuration".to_owned());
    }
    if environment("ETCD_FORCE_NEW_CLUSTER").is_some_and(|value| !value.is_empty() && value != "false") {
        warnings.push("ETCD_FORCE_NEW_CLUSTER is set: etcd will remove all other members from its cluster".to_owned());
    }
    warnings
}
