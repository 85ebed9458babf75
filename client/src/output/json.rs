//! `-o json`: a JSON object for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Action, CONFLICTING_VARIABLES, EtcdConfig, Setting, flags::flag};
use crate::one_line::json_lines;
use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};

/// The object, pretty-printed.
///
/// `env` and `flags` each have all settings, whatever is set in the environment: a program that starts etcd controls
/// its environment. The values are not quoted. A shell that evaluates the object by mistake runs no command of a server.
pub(super) fn text(config: &EtcdConfig, settings: &[Setting]) -> String {
    let value = |flag: &str| settings.iter().find(|setting| setting.flag == flag).map(|setting| &*setting.value);
    let conflicting = CONFLICTING_VARIABLES.into_iter().map(|variable| (variable.to_owned(), ""));
    let object = Object {
        action: config.action,
        reason: &config.reason,
        message: &config.message,
        name: &config.name,
        data_dir: value("data-dir"),
        wal_dir: value("wal-dir"),
        initial_advertise_peer_urls: &config.initial_advertise_peer_urls,
        initial_cluster: config.initial_cluster.as_deref(),
        initial_cluster_state: config.initial_cluster_state.as_str(),
        initial_cluster_token: config.initial_cluster_token.as_deref(),
        advertise_client_urls: &config.advertise_client_urls,
        env: settings.iter().map(|setting| (setting.variable(), &*setting.value)).chain(conflicting).collect(),
        flags: settings.iter().map(|setting| flag(setting.flag, &setting.value)).collect(),
    };
    let json = serde_json::to_string_pretty(&object).expect("strings and lists of strings can be written as JSON");
    json_lines(&json) + "\n"
}

#[derive(Serialize)]
struct Object<'a> {
    action: Action,
    reason: &'a str,
    message: &'a str,
    name: &'a MemberName,
    data_dir: Option<&'a str>,
    wal_dir: Option<&'a str>,
    initial_advertise_peer_urls: &'a [PeerUrl],
    initial_cluster: Option<&'a str>,
    initial_cluster_state: &'a str,
    initial_cluster_token: Option<&'a str>,
    advertise_client_urls: &'a [ClientUrl],
    env: BTreeMap<String, &'a str>,
    flags: Vec<String>,
}
