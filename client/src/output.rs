//! How etcd is to be started, in the forms in which shells, systemd and programs take it.

use std::{ffi::OsString, path::PathBuf};

use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};
use serde::Serialize;
use thiserror::Error;

mod dropin;
mod env;
mod flags;
mod json;
#[cfg(test)]
mod tests;

/// How etcd is to be started: what [`render`](EtcdConfig::render) tells whoever starts it.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// What starting etcd amounts to.
    pub action: Action,
    /// `--name`
    pub name: MemberName,
    /// `--data-dir`
    pub data_dir: PathBuf,
    /// `--wal-dir`, if the user has one.
    pub wal_dir: Option<PathBuf>,
    /// `--initial-advertise-peer-urls`
    pub initial_advertise_peer_urls: Vec<PeerUrl>,
    /// `--initial-cluster`; etcd needs none where it has data.
    pub initial_cluster: Option<String>,
    /// `--initial-cluster-state`
    pub initial_cluster_state: InitialClusterState,
    /// `--initial-cluster-token`
    pub initial_cluster_token: Option<String>,
    /// `--advertise-client-urls`, if the user has given any.
    pub advertise_client_urls: Vec<ClientUrl>,
    /// Why, as one word for programs.
    pub reason: String,
    /// Why, as a sentence for people.
    pub message: String,
}

/// What starting etcd amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It forms a new cluster, with others or alone.
    Bootstrap,
    /// It goes on from its data.
    Start,
    /// It joins a cluster that runs.
    Join,
}

/// What etcd takes as `--initial-cluster-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialClusterState {
    /// `new`
    New,
    /// `existing`
    Existing,
}

/// The forms in which a configuration can be printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Variables, for a shell's `eval` and systemd's `EnvironmentFile=`.
    #[default]
    Env,
    /// A systemd drop-in for etcd's unit.
    Dropin,
    /// Flags, for etcd's command line.
    Flags,
    /// A JSON object, for programs.
    Json,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What goes to standard output; it ends with one newline.
    pub text: String,
    /// What goes to standard error, a line each.
    pub warnings: Vec<String>,
}

/// Why a configuration can't be printed in a form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutputError {
    /// A path is not UTF-8: systemd drops such variables, and JSON can't hold them.
    #[error("--{flag} {value:?} is not UTF-8; choose another path")]
    NotUtf8 {
        /// etcd's flag
        flag: &'static str,
        /// Its value, as far as it can be shown
        value: String,
    },
    /// systemd drops variables with control characters (`env_value_is_valid`), and an unquoted
    /// `eval $(…)` makes spaces of newlines and tabs.
    #[error("--{flag} {value:?} has a control character, which shells and systemd don't pass on alike; choose another")]
    ControlCharacter {
        /// etcd's flag
        flag: &'static str,
        /// Its value
        value: String,
    },
    /// A shell would split or expand the value where `$(convene join -o flags)` stands without quotes.
    #[error(
        "--{flag} {value:?} has {character:?}, which a shell changes where the output stands on etcd's command line; use -o env"
    )]
    ShellUnsafe {
        /// etcd's flag
        flag: &'static str,
        /// Its value
        value: String,
        /// What the shell would take for something else
        character: char,
    },
    /// etcd refuses to start with a flag whose variable is set (`pkg/flags/flag.go:verifyEnv`).
    #[error(
        "{variable} is {set:?} in the environment, but etcd must be started with {wanted:?}, and it refuses a flag \
         whose variable is set: run `unset {variable}` first, or use -o env"
    )]
    Shadowed {
        /// The variable
        variable: String,
        /// Its value, as far as it can be shown
        set: String,
        /// What the flag would say
        wanted: String,
    },
}

impl EtcdConfig {
    /// The configuration in a form. `environment` tells which variables are set where etcd will be
    /// started, as far as that is known: the ones of this process.
    pub fn render(
        &self,
        format: Format,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Rendered, OutputError> {
        let settings = self.settings()?;
        Ok(match format {
            Format::Env => Rendered { text: env::text(&settings)?, warnings: overruling(environment) },
            Format::Dropin => Rendered { text: dropin::text(&settings)?, warnings: Vec::new() },
            Format::Flags => Rendered {
                text: flags::text(self.action, &settings, environment)?,
                warnings: flags::warnings(environment).into_iter().chain(overruling(environment)).collect(),
            },
            Format::Json => Rendered { text: json::text(self, &settings), warnings: Vec::new() },
        })
    }

    /// What etcd is told, in the order in which it is printed.
    fn settings(&self) -> Result<Vec<Setting>, OutputError> {
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

impl InitialClusterState {
    /// The word that etcd takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// Variables that must not reach etcd. `--initial-cluster` beside any of the first three ends it with
/// "multiple discovery or bootstrap flags are set", and the token alone, from 3.6 on, with "both
/// --discovery-token and --discovery-endpoints must be set" (`embed/config.go:Validate`). Empty is as good
/// as unset: etcd skips variables without value (`pkg/flags/flag.go:setFlagFromEnv`, 3.4 to 3.7), and notes at
/// most that it doesn't know them.
///
/// `ETCD_FORCE_NEW_CLUSTER` is not among them: whoever sets it recovers a cluster from one member and means it.
const CONFLICTING_VARIABLES: [&str; 4] =
    ["ETCD_DISCOVERY", "ETCD_DISCOVERY_ENDPOINTS", "ETCD_DISCOVERY_SRV", "ETCD_DISCOVERY_TOKEN"];

/// One thing that etcd is told.
struct Setting {
    /// The flag, without dashes before it.
    flag: &'static str,
    value: String,
}

impl Setting {
    /// The flag's variable (`pkg/flags/flag.go:FlagToEnv`).
    fn variable(&self) -> String {
        format!("ETCD_{}", self.flag.to_uppercase().replace('-', "_"))
    }

    /// The value, if it has no control characters.
    fn printable(&self) -> Result<&str, OutputError> {
        if self.value.contains(char::is_control) {
            return Err(OutputError::ControlCharacter { flag: self.flag, value: self.value.clone() });
        }
        Ok(&self.value)
    }
}

/// Variables of the environment that etcd puts above what is printed here.
fn overruling(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment("ETCD_CONFIG_FILE").is_some_and(|value| !value.is_empty()) {
        // The file is all that etcd reads then (`etcdmain/config.go:parse`).
        warnings.push("ETCD_CONFIG_FILE is set: etcd will read that file and ignore what is printed here".to_owned());
    }
    if environment("ETCD_FORCE_NEW_CLUSTER").is_some_and(|value| !value.is_empty() && value != "false") {
        warnings.push("ETCD_FORCE_NEW_CLUSTER is set: etcd will drop all other members from its cluster".to_owned());
    }
    warnings
}
