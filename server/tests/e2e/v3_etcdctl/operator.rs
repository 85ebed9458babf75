use std::time::Duration;

use convene_harness::{Process, etcd::Version, server::Server};
use serde_json::Value;

/// How long a watch may take to print an event on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// An administrator with one version of etcdctl.
pub struct Operator {
    pub version: Version,
    /// The value of etcdctl's `--endpoints`.
    pub endpoint: String,
}

/// Runs a test with each version of etcdctl, each time on a new server.
pub fn every_operator(test: impl Fn(&Server, &Operator)) {
    every_operator_of_an_own_server(|server, operator| test(&server, operator));
}

/// As [`every_operator`], with a server that the test may stop.
pub fn every_operator_of_an_own_server(test: impl Fn(Server, &Operator)) {
    for version in Version::all() {
        let server = Server::start_with(&["--stock-writes", "allow"]);
        let operator = Operator::at(version, &server);
        test(server, &operator);
    }
}

/// What every key of a cluster begins with.
pub fn keys_of(token: &str) -> String {
    format!("/_etcd/registry/{token}")
}

pub fn size_key(token: &str) -> String {
    format!("{}/_config/size", keys_of(token))
}

pub fn member_key(token: &str, member: &str) -> String {
    format!("{}/members/{member}", keys_of(token))
}

impl Operator {
    /// An operator of a server. etcdctl 3.4 takes the endpoint without a scheme for every command, and with one not for all.
    pub fn at(version: Version, server: &Server) -> Self {
        let operator = Self { version, endpoint: server.url.clone() };
        if operator.takes_urls() { operator } else { Self { endpoint: server.address().to_owned(), ..operator } }
    }

    /// Whether every command of this etcdctl takes an endpoint with a scheme.
    pub fn takes_urls(&self) -> bool {
        self.version.name != "3.4"
    }

    /// Whether this etcdctl can neither count keys nor ask for a watch's progress.
    pub fn is_older_than_3_5(&self) -> bool {
        self.version.name == "3.4"
    }

    /// Runs etcdctl, which has to succeed, and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let done = self.version.etcdctl(&self.endpoint, arguments);
        done.unwrap_or_else(|output| panic!("etcdctl {} {arguments:?}: {output}", self.version.name))
    }

    pub fn run_for_json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-w", "json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Runs a transaction as it is written for etcdctl, and returns what it prints.
    pub fn transact(&self, transaction: &str) -> String {
        let done = self.version.etcdctl_reading(&self.endpoint, &["txn"], transaction);
        done.unwrap_or_else(|output| panic!("etcdctl {} txn {transaction:?}: {output}", self.version.name))
    }

    /// Runs etcdctl, which has to fail with a message that contains `text`.
    pub fn is_refused(&self, arguments: &[&str], text: &str) {
        let refused = self.version.etcdctl(&self.endpoint, arguments);
        let output = refused.expect_err(&format!("etcdctl {} {arguments:?} succeeds", self.version.name));
        assert!(output.contains(text), "etcdctl {} {arguments:?}: no {text:?} in {output}", self.version.name);
    }

    pub fn watch(&self, arguments: &[&str]) -> Process {
        self.version.spawn_etcdctl(&self.endpoint, &[&["watch"], arguments].concat())
    }

    pub fn put(&self, key: &str, value: &str) {
        assert_eq!(self.run(&["put", key, value]), "OK\n");
    }

    /// The value of a key, which has to be there.
    pub fn value(&self, key: &str) -> String {
        let output = self.run(&["get", key]);
        let [(found, value)] = &pairs(&output)[..] else { panic!("not one key: {output:?}") };
        assert_eq!(found, key);
        value.clone()
    }

    /// Every key with a prefix, and its value.
    pub fn get_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        pairs(&self.run(&["get", "--prefix", prefix]))
    }

    /// A key with its revisions, which has to be there.
    pub fn entry(&self, key: &str) -> Entry {
        let answer = self.run_for_json(&["get", key]);
        assert_eq!((&answer["count"], answer["kvs"].as_array().unwrap().len()), (&1.into(), 1), "{answer}");
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("not all there: {answer}"));
        let kv = &answer["kvs"][0];
        Entry {
            created: number(&kv["create_revision"]),
            modified: number(&kv["mod_revision"]),
            version: number(&kv["version"]),
            revision: number(&answer["header"]["revision"]),
        }
    }
}

/// When a key was put, and the revision in the response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub created: u64,
    pub modified: u64,
    pub version: u64,
    pub revision: u64,
}

/// etcdctl prints a line for the key, and one for the value.
fn pairs(output: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = output.lines().map(str::to_owned).collect();
    let pairs = lines.chunks(2).map(|pair| match pair {
        [key, value] => (key.clone(), value.clone()),
        _ => panic!("a key without value: {output}"),
    });
    pairs.collect()
}
