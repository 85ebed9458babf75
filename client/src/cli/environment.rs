use std::ffi::{OsStr, OsString};

use clap::{
    Arg, Command, Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue},
};
use convene_lifecycle::ClientUrl;

/// The variables of etcd and etcdctl with the meaning of a flag, in the order of their precedence.
pub const ETCD_VARIABLES: &[(&str, &[&str])] = &[
    ("discovery", &["ETCD_DISCOVERY"]),
    ("discovery_cacert", &["ETCD_DISCOVERY_CACERT"]),
    ("discovery_cert", &["ETCD_DISCOVERY_CERT"]),
    ("discovery_key", &["ETCD_DISCOVERY_KEY"]),
    ("name", &["ETCD_NAME"]),
    ("data_dir", &["ETCD_DATA_DIR"]),
    ("wal_dir", &["ETCD_WAL_DIR"]),
    ("initial_advertise_peer_urls", &["ETCD_INITIAL_ADVERTISE_PEER_URLS"]),
    ("advertise_client_urls", &["ETCD_ADVERTISE_CLIENT_URLS"]),
    ("listen_metrics_urls", &["ETCD_LISTEN_METRICS_URLS"]),
    ("cacert", &["ETCDCTL_CACERT", "ETCD_TRUSTED_CA_FILE"]),
    ("cert", &["ETCDCTL_CERT"]),
    ("key", &["ETCDCTL_KEY"]),
    ("user", &["ETCDCTL_USER"]),
    ("peer_trusted_ca_file", &["ETCD_PEER_TRUSTED_CA_FILE"]),
    ("peer_cert_file", &["ETCD_PEER_CERT_FILE"]),
    ("peer_key_file", &["ETCD_PEER_KEY_FILE"]),
];

/// Makes each flag read the first of its variables that is set: ours before etcd's. An empty variable counts as not set,
/// as it does for etcd (`pkg/flags/flag.go:setFlagFromEnv`).
pub fn with_etcd_variables(command: Command, variable: &dyn Fn(&str) -> Option<OsString>) -> Command {
    let command = command.mut_args(|argument| with_one(argument, variable));
    command.mut_subcommands(|subcommand| with_etcd_variables(subcommand, variable))
}

/// Whether our flag accepts the value of etcd's variable. etcd accepts more values for some variables; those are ignored,
/// because they were not set for this program.
pub fn is_usable(name: &str, value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    match name {
        // etcdctl also reads the password from ETCDCTL_PASSWORD, or prompts for it.
        "ETCDCTL_USER" => text.contains(':'),
        // etcd also listens on Unix sockets.
        "ETCD_ADVERTISE_CLIENT_URLS" | "ETCD_LISTEN_METRICS_URLS" => {
            text.split(',').all(|url| url.trim().parse::<ClientUrl>().is_ok())
        }
        _ => !text.is_empty(),
    }
}

fn with_one(argument: Arg, variable: &dyn Fn(&str) -> Option<OsString>) -> Arg {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let Some(own) = argument.get_env().and_then(|name| name.to_str()).map(str::to_owned) else { return argument };
    if is_set(&own) {
        return argument;
    }
    let etcd_variables =
        ETCD_VARIABLES.iter().find(|(id, _)| argument.get_id() == id).map_or(&[][..], |(_, names)| names);
    let set = etcd_variables.iter().copied().find(|name| variable(name).is_some_and(|value| is_usable(name, &value)));
    match set {
        Some(name) => argument.env(name),
        None if variable(&own).is_some() => argument.env(None::<&'static str>),
        None => argument,
    }
}

/// Adds to an error about missing flags the variables that can be set instead: units and containers set variables. `more`: the end of
/// the tip.
pub fn with_variables_of_missing_flags(mut error: Error, command: &Command, more: &str) -> Error {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return error };
    let names: Vec<String> = missing.iter().filter_map(|flag| variable_of(command, flag)).collect();
    if !names.is_empty() {
        let tip = StyledStr::from(format!("set {}, or pass the flags{more}", names.join(" and ")));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The variable of a flag as an error prints it, `--name <NAME>`, in this command or one of its subcommands.
fn variable_of(command: &Command, flag: &str) -> Option<String> {
    let long = flag.strip_prefix("--")?.split(' ').next()?;
    let own = command.get_arguments().find(|argument| argument.get_long() == Some(long));
    let own = own.and_then(|argument| argument.get_env()?.to_str().map(str::to_owned));
    own.or_else(|| command.get_subcommands().find_map(|subcommand| variable_of(subcommand, flag)))
}
