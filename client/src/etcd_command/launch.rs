use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write,
    path::PathBuf,
};

use serde_json::{Map, Value};
use tokio::process::Command;

use super::{
    CONFIG_FILE, EtcdCommand, EtcdCommandError, EtcdProgram, FOR_ANOTHER_START,
    go_flags::{Flag, flag_of, variable_of},
    program::Settings,
};
use crate::{output::EtcdConfig, state_dir::StateDir};

/// The configuration file for etcd, in the state directory. It is JSON, which is YAML as well.
const MERGED_FILE: &str = "etcd.json";

/// Variables of the service manager for this process. etcd would notify it, too (`sd_notify`, `sd_watchdog_enabled`).
const OF_SERVICE_MANAGER: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES"];

/// How etcd is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The variables of this process that it must not get: secrets, those for this process alone, and those that etcd would die of.
    pub removed_variables: Vec<OsString>,
}

impl Launch {
    /// The command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for name in &self.removed_variables {
            command.env_remove(name);
        }
        command
    }
}

impl EtcdCommand {
    /// How etcd is started with a configuration of the registry, which has precedence over the user's settings.
    ///
    /// If the user has a configuration file, this writes a new one with both in it, because etcd would ignore flags and variables.
    pub fn launch(&self, program: &EtcdProgram, config: &EtcdConfig) -> Result<Launch, EtcdCommandError> {
        let ours = config.settings()?;
        let flags = match &program.settings {
            Settings::Flags(flags) => {
                let kept = flags.iter().filter(|flag| ours.iter().all(|setting| setting.flag != flag.name));
                let ours = ours.iter().map(|setting| Flag::new(setting.flag, setting.value.as_str()));
                kept.cloned().chain(ours).collect()
            }
            Settings::File(settings) => {
                let mut settings = settings.clone();
                settings.extend(ours.into_iter().map(|setting| (setting.flag.to_owned(), setting.value.into())));
                let path = write(&StateDir::open(&config.data_dir)?, &settings)?;
                vec![Flag::new(CONFIG_FILE, path)]
            }
        };
        let set: Vec<String> = flags.iter().map(|flag| variable_of(&flag.name)).collect();
        let is_removed = |name: &&OsString| {
            let text = name.to_string_lossy();
            is_private(name)
                || set.iter().any(|variable| text == variable.as_str())
                || text == variable_of(CONFIG_FILE)
                || flag_of(&text).is_some_and(|flag| is_replaced(&flag))
        };
        Ok(Launch {
            program: self.program.clone(),
            arguments: flags.iter().map(Flag::argument).collect(),
            removed_variables: self.variables.names().filter(is_removed).cloned().collect(),
        })
    }
}

/// Whether the registry's configuration takes the place of this setting, even if it has none for it.
pub fn is_replaced(flag: &str) -> bool {
    FOR_ANOTHER_START.contains(&flag) || flag == CONFIG_FILE || flag == "discovery" || flag.starts_with("discovery-")
}

/// Whether no other program gets this variable. Those of `convene` have secrets.
pub fn is_private(variable: &OsStr) -> bool {
    variable.to_string_lossy().starts_with("CONVENE_") || OF_SERVICE_MANAGER.iter().any(|name| variable == *name)
}

fn write(state_dir: &StateDir, settings: &Map<String, Value>) -> Result<PathBuf, EtcdCommandError> {
    let path = state_dir.path_of(MERGED_FILE);
    let text = serde_json::to_string_pretty(settings).expect("a map with texts as keys is JSON");
    let replace = |mut file: File| file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
    replace(state_dir.file(MERGED_FILE)?).map_err(|source| EtcdCommandError::Write { path: path.clone(), source })?;
    Ok(path)
}
