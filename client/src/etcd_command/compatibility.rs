//! What becomes of settings that a version of etcd does not have any more.

use serde_json::{Map, Value};

use super::{go_flags::Flag, is_true};

/// etcd's flag and key for its feature gates, from 3.6 on.
pub const FEATURE_GATES: &str = "feature-gates";

/// The flags that are feature gates now (`server/features/etcd_features.go:ExperimentalFlagToFeatureMap` in 3.6).
const GATES: [(&str, &str); 6] = [
    ("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
    ("experimental-initial-corrupt-check", "InitialCorruptCheck"),
    ("experimental-compact-hash-check-enabled", "CompactHashCheck"),
    ("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"),
    ("experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
    ("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
];

/// The flags that have another name now, apart from those that only lost `experimental-`. The second one is a key, which never was the
/// name of the flag (`embed/config.go` in 3.5).
const RENAMED: [(&str, &str); 2] =
    [("log-output", "log-outputs"), ("experimental-snapshot-catch-up-entries", "snapshot-catchup-entries")];

/// The flags without effect on a version that lacks them: for the proxy, which is off; for a version that has passed; for the log of
/// 3.4; and for snapshot files, which nothing writes.
const OBSOLETE: [&str; 9] = [
    "proxy-failure-wait",
    "proxy-refresh-interval",
    "proxy-dial-timeout",
    "proxy-write-timeout",
    "proxy-read-timeout",
    "next-cluster-version-compatible",
    "log-package-levels",
    "max-snapshots",
    "v2-deprecation",
];

/// The change of a setting that a version lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this name now.
    Rename(String),
    /// It is this feature gate now.
    Gate(&'static str),
    /// It is not needed.
    Drop,
}

impl Change {
    /// The change of a flag with this value. `None` if there is none that keeps its meaning.
    pub fn of(flag: &str, value: &str) -> Option<Self> {
        if let Some((_, gate)) = GATES.iter().find(|(name, _)| *name == flag) {
            return Some(Self::Gate(gate));
        }
        if let Some((_, name)) = RENAMED.iter().find(|(name, _)| *name == flag) {
            return Some(Self::Rename((*name).to_owned()));
        }
        let is_off = match flag {
            "enable-v2" | "debug" => !is_true(value.as_ref()),
            "experimental-enable-v2v3" => value.is_empty(),
            "proxy" => value.is_empty() || value == "off",
            _ => OBSOLETE.contains(&flag),
        };
        if is_off {
            return Some(Self::Drop);
        }
        flag.strip_prefix("experimental-").map(|name| Self::Rename(name.to_owned()))
    }

    /// The flag or key that is used instead.
    pub fn replacement(&self) -> Option<&str> {
        match self {
            Self::Rename(name) => Some(name),
            Self::Gate(_) => Some(FEATURE_GATES),
            Self::Drop => None,
        }
    }

    /// Changes the flags. One that is already there under its present name has precedence.
    pub fn apply_to_flags(&self, old: &str, flags: &mut Vec<Flag>) {
        let value = flags.iter().rev().find(|flag| flag.name == old).map(|flag| flag.value.clone());
        flags.retain(|flag| flag.name != old);
        let Some(value) = value else { return };
        let is_set = |name: &str| flags.iter().any(|flag| flag.name == name);
        match self {
            Self::Rename(name) if !is_set(name) => flags.push(Flag::new(name, value)),
            Self::Gate(gate) => {
                // The last of several flags adds to the others (`pkg/featuregate/feature_gate.go:SetFromMap`).
                let is_given =
                    |flag: &Flag| flag.name == FEATURE_GATES && names_gate(&flag.value.to_string_lossy(), gate);
                if !flags.iter().any(is_given) {
                    flags.push(Flag::new(FEATURE_GATES, format!("{gate}={}", value.to_string_lossy())));
                }
            }
            Self::Rename(_) | Self::Drop => {}
        }
    }

    /// Changes the settings of a configuration file, in the same way.
    pub fn apply_to_file(&self, old: &str, settings: &mut Map<String, Value>) {
        let Some(value) = settings.remove(old) else { return };
        match self {
            Self::Rename(name) => {
                settings.entry(name.clone()).or_insert(value);
            }
            Self::Gate(gate) => {
                let gates = settings.get(FEATURE_GATES).and_then(Value::as_str).unwrap_or_default();
                if !names_gate(gates, gate) {
                    let separator = if gates.is_empty() { "" } else { "," };
                    let gates = format!("{gates}{separator}{gate}={value}");
                    settings.insert(FEATURE_GATES.to_owned(), gates.into());
                }
            }
            Self::Drop => {}
        }
    }

    /// The message about it.
    pub fn warning(&self, version: &str, old: &str) -> String {
        match self {
            Self::Rename(name) => format!("etcd {version} has no --{old}, and gets --{name} instead; use the new name"),
            Self::Gate(gate) => format!(
                "etcd {version} has no --{old}, and gets --{FEATURE_GATES} with {gate} instead; use the feature gate"
            ),
            Self::Drop => format!("etcd {version} has no --{old}, and starts without it; remove it"),
        }
    }
}

/// Whether feature gates have a value for this one.
fn names_gate(gates: &str, gate: &str) -> bool {
    gates.split(',').any(|pair| pair.split('=').next().is_some_and(|name| name.trim() == gate))
}

/// The name of a flag that etcd rejects because it does not know it (`flag.go:parseOne` of Go).
pub fn unknown_flag(stderr: &str) -> Option<&str> {
    stderr.lines().find_map(|line| line.strip_prefix("flag provided but not defined: -"))
}
