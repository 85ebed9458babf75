//! Flags as Go's package `flag` reads them (`flag.go:parseOne`).

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::EtcdCommandError;

/// A flag of etcd with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without dashes.
    pub name: String,
    /// `true` for a boolean without a value.
    pub value: OsString,
}

/// The flags that need no value, in all versions from 3.4 on (`embed/config.go:AddFlags`, before 3.6 `etcdmain/config.go`). Those
/// after `version` are accepted and ignored by etcd.
const BOOLEANS: [&str; 49] = [
    "auto-tls",
    "client-cert-auth",
    "debug",
    "discovery-insecure-skip-tls-verify",
    "discovery-insecure-transport",
    "enable-distributed-tracing",
    "enable-grpc-gateway",
    "enable-log-rotation",
    "enable-pprof",
    "enable-v2",
    "experimental-compact-hash-check-enabled",
    "experimental-enable-distributed-tracing",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-initial-corrupt-check",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-stop-grpc-service-on-defrag",
    "experimental-txn-mode-write-with-shared-buffer",
    "force-new-cluster",
    "h",
    "help",
    "initial-election-tick-advance",
    "memory-mlock",
    "next-cluster-version-compatible",
    "peer-auto-tls",
    "peer-client-cert-auth",
    "peer-skip-client-san-verification",
    "pre-vote",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
    "unsafe-no-fsync",
    "version",
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
    "test.coverprofile",
    "test.outputdir",
];

impl Flag {
    /// A flag with a value.
    pub fn new(name: &str, value: impl Into<OsString>) -> Self {
        Self { name: name.to_owned(), value: value.into() }
    }

    /// One argument, which Go reads as this flag whether or not it is a boolean.
    pub fn argument(&self) -> OsString {
        let mut argument = OsString::from(format!("--{}=", self.name));
        argument.push(&self.value);
        argument
    }
}

/// The name of the variable of a flag (`pkg/flags/flag.go:FlagToEnv`).
pub fn variable_of(flag: &str) -> String {
    format!("ETCD_{}", flag.to_uppercase().replace('-', "_"))
}

/// The flag that a variable stands for; `None` if it is no variable of etcd.
pub fn flag_of(variable: &str) -> Option<String> {
    variable.strip_prefix("ETCD_").map(|flag| flag.to_lowercase().replace('_', "-"))
}

/// Whether the flag needs no value.
pub fn is_boolean(flag: &str) -> bool {
    BOOLEANS.contains(&flag)
}

/// Reads the arguments of etcd. It takes nothing but flags (`etcdmain/config.go:parse`).
pub fn parse(arguments: &[OsString]) -> Result<Vec<Flag>, EtcdCommandError> {
    let mut flags = Vec::new();
    let mut arguments = arguments.iter().peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            return arguments.next().map_or(Ok(flags), |rest| Err(EtcdCommandError::not_a_flag(rest)));
        }
        let Some((name, value)) = split(argument) else { return Err(EtcdCommandError::not_a_flag(argument)) };
        let name = name.to_str().ok_or_else(|| EtcdCommandError::not_a_flag(argument))?;
        let value = match value {
            Some(value) => value.to_owned(),
            None if is_boolean(name) => "true".into(),
            // Go takes the next argument, whatever it is. But a flag that is unknown here may be a boolean.
            None => match arguments.next_if(|next| !next.as_bytes().starts_with(b"-")) {
                Some(value) => value.clone(),
                None => return Err(EtcdCommandError::NoValue(name.to_owned())),
            },
        };
        if matches!(name, "h" | "help") || (name == "version" && super::is_true(&value)) {
            return Err(EtcdCommandError::Prints(name.to_owned()));
        }
        flags.push(Flag::new(name, value));
    }
    Ok(flags)
}

/// The name of a flag and the value after `=`. `None` if it is no flag.
fn split(argument: &OsStr) -> Option<(&OsStr, Option<&OsStr>)> {
    let bytes = argument.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if bytes.is_empty() || bytes.starts_with(b"-") || bytes.starts_with(b"=") {
        return None;
    }
    Some(match bytes.iter().position(|byte| *byte == b'=') {
        Some(equals) => (OsStr::from_bytes(&bytes[..equals]), Some(OsStr::from_bytes(&bytes[equals + 1..]))),
        None => (OsStr::from_bytes(bytes), None),
    })
}
