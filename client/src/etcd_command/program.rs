use std::{
    process::{Output, Stdio},
    time::Duration,
};

use convene_lifecycle::EtcdVersion;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use tokio::process::Command;

use super::{
    EtcdCommand, EtcdCommandError,
    compatibility::{self, Change, FEATURE_GATES},
    error::shown,
    go_flags::Flag,
    launch,
};
use crate::one_line::one_line;

/// How long the program may take to print its version.
const LIMIT: Duration = Duration::from_secs(30);

/// The key that etcd 3.5 and 3.6 use for their flag `--experimental-snapshot-catchup-entries`.
const CATCH_UP_KEY: (&str, &str) = ("experimental-snapshot-catch-up-entries", "experimental-snapshot-catchup-entries");

/// The installed program, and the settings that it accepts.
#[derive(Clone, Debug)]
pub struct EtcdProgram {
    /// Its version, such as 3.6.14. `None` if it does not print one as etcd does; then all settings are passed on unchanged.
    pub version: Option<String>,
    /// What of the command has no effect or was changed, for the log.
    pub warnings: Vec<String>,
    pub(super) settings: Settings,
}

/// The settings that etcd gets, apart from those of the registry.
#[derive(Clone, Debug)]
pub(super) enum Settings {
    Flags(Vec<Flag>),
    File(Map<String, Value>),
}

impl EtcdProgram {
    /// The version for a check-in.
    pub fn etcd_version(&self) -> Option<EtcdVersion> {
        self.version.as_deref()?.parse().ok()
    }
}

impl EtcdCommand {
    /// Asks the program for its version, and lets it parse its flags, without starting a server. What it lacks is changed if its meaning
    /// can be kept, and otherwise an error.
    ///
    /// To be called before each start: the program may have been upgraded.
    pub async fn inspect(&self) -> Result<EtcdProgram, EtcdCommandError> {
        let mut warnings = self.warnings();
        let output = self.ask(&[]).await?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let version = stdout.lines().find_map(|line| line.strip_prefix("etcd Version: "));
        let version = version.map(|version| one_line(version.trim()).into_owned());
        let mut settings = self.settings();
        match (&version, &mut settings) {
            (Some(version), Settings::Flags(flags)) => self.fit_flags(version, flags, &mut warnings).await?,
            (Some(version), Settings::File(settings)) => self.fit_file(version, settings, &mut warnings).await?,
            (None, _) => warnings.push(format!(
                "`{} --version` does not print a version of etcd, so its flags are not checked",
                shown(&self.program)
            )),
        }
        Ok(EtcdProgram { version, warnings, settings })
    }

    /// The settings of the user that stay.
    pub(super) fn settings(&self) -> Settings {
        match &self.file {
            Some(file) => {
                let settings = file.settings().clone().into_iter();
                Settings::File(settings.filter(|(key, _)| !launch::is_replaced(key)).collect())
            }
            None => {
                let flags = self.flags.iter().filter(|flag| !launch::is_replaced(&flag.name));
                Settings::Flags(flags.cloned().collect())
            }
        }
    }

    /// etcd parses all of its flags before it prints its version (`etcdmain/config.go:parse`), and names the first one that it does not
    /// know, or whose value it can't use.
    async fn fit_flags(
        &self,
        version: &str,
        flags: &mut Vec<Flag>,
        warnings: &mut Vec<String>,
    ) -> Result<(), EtcdCommandError> {
        let mut changes: Vec<(String, Change)> = Vec::new();
        loop {
            let output = self.ask(flags).await?;
            if output.status.success() {
                return Ok(());
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            let Some(unknown) = compatibility::unknown_flag(&stderr) else {
                return Err(self.rejected(version, &stderr));
            };
            // An unknown name may be the replacement of another one.
            let replaced = changes.iter().find(|(_, change)| change.replacement() == Some(unknown));
            let value = flags.iter().rev().find(|flag| flag.name == unknown).map(|flag| flag.value.to_string_lossy());
            let change = value.and_then(|value| Change::of(unknown, &value));
            let (None, Some(change)) = (replaced, change) else {
                let flag = replaced.map_or(unknown, |(old, _)| old);
                let (flag, version) = (one_line(flag).into_owned(), version.to_owned());
                return Err(EtcdCommandError::UnknownFlag { flag, program: shown(&self.program), version });
            };
            change.apply_to_flags(unknown, flags);
            warnings.push(change.warning(version, unknown));
            changes.push((unknown.to_owned(), change));
        }
    }

    /// etcd ignores keys that it does not know, so the settings that have got another name would be lost.
    async fn fit_file(
        &self,
        version: &str,
        settings: &mut Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<(), EtcdCommandError> {
        let experimental: Vec<_> = settings.keys().filter(|key| key.starts_with("experimental-")).cloned().collect();
        for key in experimental {
            let flag = if key == CATCH_UP_KEY.0 { CATCH_UP_KEY.1 } else { &key };
            if self.knows(flag).await? {
                continue;
            }
            let value = settings[&key].as_str().unwrap_or_default().to_owned();
            let change = match Change::of(&key, &value) {
                Some(change) => match change.replacement() {
                    Some(name) => self.knows(name).await?.then_some(change),
                    None => Some(change),
                },
                None => None,
            };
            match change {
                Some(change) => {
                    change.apply_to_file(&key, settings);
                    warnings.push(change.warning(version, &key));
                }
                None => {
                    warnings.push(format!("etcd {version} does not know the key `{key}` of its configuration file"))
                }
            }
        }
        Ok(())
    }

    /// Whether the program has a flag.
    async fn knows(&self, flag: &str) -> Result<bool, EtcdCommandError> {
        // It may not like the value; but it then knows the flag.
        let value = if flag == FEATURE_GATES { "" } else { "0" };
        let output = self.ask(&[Flag::new(flag, value)]).await?;
        Ok(compatibility::unknown_flag(&String::from_utf8_lossy(&output.stderr)).is_none())
    }

    /// Runs the program with these flags and `--version`.
    async fn ask(&self, flags: &[Flag]) -> Result<Output, EtcdCommandError> {
        let mut command = Command::new(&self.program);
        command.args(flags.iter().map(Flag::argument)).arg("--version");
        for name in self.variables.names().filter(|name| launch::is_private(name)) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A script may have started other programs.
        command.process_group(0).kill_on_drop(true);
        let cannot_run = |source| EtcdCommandError::CannotRun { program: shown(&self.program), source };
        let child = command.spawn().map_err(cannot_run)?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
            Ok(output) => output.map_err(cannot_run),
            Err(_) => {
                if let Some(group) = group {
                    // They may have ended meanwhile.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                Err(EtcdCommandError::NoEnd { program: shown(&self.program), limit: LIMIT })
            }
        }
    }

    fn rejected(&self, version: &str, stderr: &str) -> EtcdCommandError {
        let found = stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it exits without a message");
        let (version, found) = (version.to_owned(), one_line(found).into_owned());
        EtcdCommandError::Rejected { program: shown(&self.program), version, found }
    }
}
