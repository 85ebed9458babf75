use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{EtcdCommandError, Origin, Setting, go_flags};

/// The configuration file of etcd. etcd ignores keys that it does not know (`embed/config.go:configFromFile`).
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    settings: Map<String, Value>,
}

/// The sections with the TLS files, and what the flags that stand for them begin with.
const SECTIONS: [(&str, &str); 2] = [("client-transport-security", ""), ("peer-transport-security", "peer-")];

/// The keys of these sections that have a flag.
const TLS_KEYS: [&str; 3] = ["cert-file", "key-file", "trusted-ca-file"];

/// Durations, some of which were experimental. Flags have units, and the file has nanoseconds (`embed/config.go:Config`).
const DURATIONS: [&str; 11] = [
    "backend-batch-interval",
    "compact-hash-check-time",
    "compaction-sleep-interval",
    "corrupt-check-time",
    "downgrade-check-time",
    "grpc-keepalive-interval",
    "grpc-keepalive-min-time",
    "grpc-keepalive-timeout",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "watch-progress-notify-interval",
];

/// Booleans that only the file has.
const BOOLEANS: [&str; 2] = ["skip-client-san-verification", "client-cert-auth"];

impl ConfigFile {
    /// Reads a file as etcd does: keys in any case, and booleans of YAML 1.1.
    pub fn read(path: &Path) -> Result<Self, EtcdCommandError> {
        let failed = |problem: String| EtcdCommandError::config_file(path, problem);
        let text = fs::read_to_string(path).map_err(|error| failed(format!("cannot read it: {error}")))?;
        let mut yaml: yaml_serde::Value =
            yaml_serde::from_str(&text).map_err(|error| failed(format!("it is not YAML: {error}")))?;
        yaml.apply_merge().map_err(|error| failed(format!("it is not YAML: {error}")))?;
        let settings = match serde_json::to_value(yaml) {
            Ok(Value::Object(settings)) => settings,
            Ok(Value::Null) => Map::new(),
            _ => return Err(failed("it must have keys with values, such as `name: infra0`".to_owned())),
        };
        let settings = in_lower_case(settings).map_err(failed)?;
        for (key, value) in leaves(&settings) {
            check(&key, value).map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), settings })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything in it.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    /// The setting that a flag stands for.
    pub fn get(&self, flag: &str) -> Option<Setting> {
        let of_section = SECTIONS.iter().rev().find_map(|(section, prefix)| {
            let key = flag.strip_prefix(prefix).filter(|key| TLS_KEYS.contains(key))?;
            Some((self.settings.get(*section)?.get(key)?, format!("{section}.{key}")))
        });
        let is_tls = TLS_KEYS.contains(&flag.strip_prefix("peer-").unwrap_or(flag));
        let found = if is_tls { of_section } else { self.settings.get(flag).map(|value| (value, flag.to_owned())) };
        let (value, key) = found?;
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            // Nothing was written after the colon; or it is no setting that a flag has.
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Setting { value: value.into(), origin: Origin::Key { path: self.path.clone(), key } })
    }
}

/// Fails if etcd would not accept the value (`json: cannot unmarshal …`), or would read it in another way.
fn check(key: &str, value: &Value) -> Result<(), String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    match value {
        Value::Null => {}
        Value::String(_) if is_text(name) => {}
        Value::Array(_) if is_text(name) => {
            return Err(format!("the value of `{key}` must be a text; separate several values by commas"));
        }
        _ if is_text(name) => return Err(format!("the value of `{key}` must be a text; write it in quotes")),
        Value::String(text) if DURATIONS.contains(&name.strip_prefix("experimental-").unwrap_or(name)) => {
            return Err(format!("`{key}: {text}` must be a number of nanoseconds, such as 60000000000 for one minute"));
        }
        Value::String(text) if is_number_for_etcd_alone(text) => {
            return Err(format!(
                "`{key}: {text}` is octal or has underscores; write the number in decimal digits only"
            ));
        }
        _ => {}
    }
    Ok(())
}

/// Whether etcd expects a text. Not all such keys are listed, but those that are used here or look like numbers.
fn is_text(key: &str) -> bool {
    TLS_KEYS.contains(&key)
        || super::FOR_ANOTHER_START.contains(&key)
        || key.ends_with("-urls")
        || ["name", "data-dir", "wal-dir", "discovery", "proxy", "auto-compaction-retention"].contains(&key)
}

/// All keys in lower case, at the top and in sections: Go matches keys in any case (`encoding/json`). Booleans of YAML 1.1 become those
/// of JSON.
fn in_lower_case(settings: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut lower = Map::new();
    for (key, value) in settings {
        let key = key.to_ascii_lowercase();
        let value = match value {
            Value::Object(section) => Value::Object(in_lower_case(section)?),
            Value::String(text) if go_flags::is_boolean(&key) || BOOLEANS.contains(&key.as_str()) => boolean(text),
            value => value,
        };
        if lower.insert(key.clone(), value).is_some() {
            return Err(format!("it has the key `{key}` twice"));
        }
    }
    Ok(lower)
}

/// The values at the top and in sections, with their keys.
fn leaves(settings: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    for (key, value) in settings {
        match value {
            Value::Object(section) if !is_text(key) => {
                leaves
                    .extend(self::leaves(section).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            value => leaves.push((key.clone(), value)),
        }
    }
    leaves
}

/// A word that YAML 1.1 reads as a boolean, and YAML 1.2 as a text.
fn boolean(text: String) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => Value::Bool(true),
        "n" | "no" | "off" => Value::Bool(false),
        _ => Value::String(text),
    }
}

/// Whether YAML 1.1 reads this as a number, in octal or with underscores, and YAML 1.2 as a text.
fn is_number_for_etcd_alone(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_written_as_number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '_');
    is_written_as_number && digits.len() > 1 && (digits.contains('_') || digits.starts_with('0'))
}
