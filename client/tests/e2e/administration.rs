//! The commands for administrators.

mod access;
mod adopting;
mod clusters;
mod events;
mod failures;
mod members;
mod selection;

use std::time::Duration;

use convene_harness::{
    convene::{Convene, Ended},
    server::Server,
};
use reqwest::Client;
use serde_json::Value;

/// Longer than any of these commands takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `convene` for a server until it exits.
fn convene(server: &Server, arguments: &[&str]) -> Ended {
    Convene::new(arguments).env("CONVENE_SERVER", &server.url).run(LIMIT)
}

/// The output of a command that must succeed.
fn output(server: &Server, arguments: &[&str]) -> String {
    stdout(convene(server, arguments))
}

/// The standard output of a command that has succeeded without logging anything but how nodes join.
fn stdout(ended: Ended) -> String {
    let logged = if ended.stderr.starts_with("Before 20") { "" } else { ended.stderr.as_str() };
    assert_eq!((ended.code, logged), (Some(0), ""), "{}", ended.stdout);
    ended.stdout
}

/// The error of a command that has exited with this code, and without a result.
fn failure(ended: Ended, code: i32) -> String {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
    ended.stderr
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The cells of each line, which are separated by two or more spaces.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(row).collect()
}

fn row(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// Creates a cluster with this token.
fn create(server: &Server, token: &str, flags: &[&str]) {
    // A join token would be an event more.
    output(server, &[&["cluster", "create", "--no-join-token", "--token", token], flags].concat());
}

/// Registers a member as a stock etcd does.
async fn register(server: &Server, token: &str, key: &str, value: &str) {
    let put = Client::new().put(format!("{}/{token}/{key}", server.url)).form(&[("value", value)]);
    assert_eq!(put.send().await.unwrap().status(), 201);
}
