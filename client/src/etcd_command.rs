//! The command of etcd that `convene run` gets after `--`: what it configures, whether this version of etcd accepts it, and how etcd
//! is started with it.

mod compatibility;
mod config_file;
mod error;
mod go_flags;
mod launch;
mod program;
#[cfg(test)]
mod tests;
mod variables;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use convene_lifecycle::ClientUrl;

pub use error::EtcdCommandError;
pub use go_flags::{flag_of, variable_of};
pub use launch::Launch;
pub use program::EtcdProgram;
pub use variables::Variables;

use config_file::ConfigFile;
use go_flags::Flag;

/// etcd's flag for its configuration file.
const CONFIG_FILE: &str = "config-file";

/// Settings with which etcd would start without the registry.
const FOR_ANOTHER_START: [&str; 5] =
    ["initial-cluster", "initial-cluster-state", "initial-cluster-token", "discovery-srv", "discovery-endpoints"];

/// The program and its flags, with the variables of this process and the configuration file that etcd would read.
#[derive(Clone, Debug)]
pub struct EtcdCommand {
    program: OsString,
    flags: Vec<Flag>,
    /// etcd reads either this file, or flags and variables (`etcdmain/config.go:parse`, 3.4 to 3.7).
    file: Option<ConfigFile>,
    variables: Variables,
}

/// A setting of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value as a flag of etcd would have it. It may be empty.
    pub value: OsString,
    /// Where it was found.
    pub origin: Origin,
}

/// Where a setting of etcd was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the command after `--`.
    Flag(String),
    /// In the environment.
    Variable(String),
    /// In the configuration file.
    Key {
        /// The file.
        path: PathBuf,
        /// The key, with a dot after the name of its section.
        key: String,
    },
}

impl EtcdCommand {
    /// Reads the command, and the configuration file if there is one.
    ///
    /// A command that would not run a member of a cluster is an error.
    pub fn read(command: &[OsString], variables: Variables) -> Result<Self, EtcdCommandError> {
        let Some((program, arguments)) = command.split_first() else { return Err(EtcdCommandError::NoProgram) };
        let mut read = Self { program: program.clone(), flags: go_flags::parse(arguments)?, file: None, variables };
        read.file = read.config_file().map(|path| ConfigFile::read(&path)).transpose()?;
        if let Some(Setting { origin, .. }) = read.get("force-new-cluster").filter(|setting| is_true(&setting.value)) {
            return Err(EtcdCommandError::ForceNewCluster(origin));
        }
        let is_on = |proxy: &Setting| !proxy.value.is_empty() && proxy.value != "off";
        if let Some(Setting { origin, .. }) = read.get("proxy").filter(is_on) {
            return Err(EtcdCommandError::Proxy(origin));
        }
        Ok(read)
    }

    /// The value that etcd would use for a flag, unless it is etcd's default: that of the last such flag, or else that of the variable.
    /// If there is a configuration file, only what it has counts.
    pub fn get(&self, flag: &str) -> Option<Setting> {
        match &self.file {
            Some(file) => file.get(flag),
            None => self.flag(flag).or_else(|| self.variable(flag)),
        }
    }

    /// Whether etcd would read a configuration file, and neither flags nor variables.
    pub fn has_config_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether etcd would read this variable.
    pub fn reads_variable(&self, name: &str) -> bool {
        self.file.is_none() && !self.flags.iter().any(|flag| variable_of(&flag.name) == name)
    }

    /// Fails if etcd would refuse to start because it lacks the URLs that clients use. `own`: those of `convene run`.
    pub fn check_client_urls(&self, own: &[ClientUrl]) -> Result<(), EtcdCommandError> {
        let is_missing = own.is_empty() && self.get("advertise-client-urls").is_none();
        match self.get("listen-client-urls") {
            // The defaults stay in force for a configuration file (`embed/config.go:configFromFile`).
            Some(Setting { origin: origin @ (Origin::Flag(_) | Origin::Variable(_)), .. }) if is_missing => {
                Err(EtcdCommandError::NoAdvertisedUrls(origin))
            }
            _ => Ok(()),
        }
    }

    /// What of the command has no effect, and why.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(file) = &self.file {
            let ignored = self.flags.iter().filter(|flag| flag.name != CONFIG_FILE);
            let ignored: Vec<_> = ignored.map(|flag| format!("--{}", flag.name)).collect();
            if !ignored.is_empty() {
                let path = file.path().display();
                warnings.push(format!("{} has no effect: etcd reads {path} instead of its flags", ignored.join(", ")));
            }
        }
        for flag in &self.flags {
            let variable = variable_of(&flag.name);
            if self.file.is_none() && self.variables.get(&variable).is_some() {
                warnings.push(format!("{variable} has no effect: the flag --{} of etcd is given as well", flag.name));
            }
        }
        for Setting { origin, .. } in FOR_ANOTHER_START.iter().filter_map(|flag| self.get(flag)) {
            warnings.push(format!("{origin} has no effect: the registry determines how this node starts"));
        }
        warnings
    }

    fn flag(&self, name: &str) -> Option<Setting> {
        let flag = self.flags.iter().rev().find(|flag| flag.name == name)?;
        Some(Setting { value: flag.value.clone(), origin: Origin::Flag(flag.name.clone()) })
    }

    /// etcd skips empty variables (`pkg/flags/flag.go:setFlagFromEnv`).
    fn variable(&self, flag: &str) -> Option<Setting> {
        let name = variable_of(flag);
        let value = self.variables.get(&name).filter(|value| !value.is_empty())?;
        Some(Setting { value, origin: Origin::Variable(name) })
    }

    /// etcd reads the variable also if the flag is empty, unlike for other flags (`etcdmain/config.go:parse`).
    fn config_file(&self) -> Option<PathBuf> {
        let flag = self.flag(CONFIG_FILE).filter(|setting| !setting.value.is_empty());
        flag.or_else(|| self.variable(CONFIG_FILE)).map(|setting| setting.value.into())
    }
}

/// Whether Go reads a value as true (`strconv.ParseBool`).
fn is_true(value: &OsStr) -> bool {
    ["1", "t", "T", "true", "TRUE", "True"].iter().any(|word| value == *word)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "the flag --{name} of etcd"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Key { path, key } => write!(f, "the key `{key}` in {}", path.display()),
        }
    }
}
