//! Looking after clusters with `convene`.

mod clusters;
mod events;
mod failures;
mod meant;
mod members;

use std::time::Duration;

use convene_harness::{
    convene::{Convene, Ended},
    server::Server,
};
use reqwest::Client;
use serde_json::Value;

/// Longer than any of these commands takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `convene` with a server, to its end.
fn convene(server: &Server, arguments: &[&str]) -> Ended {
    Convene::new(arguments).env("CONVENE_SERVER", &server.url).run(LIMIT)
}

/// What a command that must not fail has printed.
fn said(server: &Server, arguments: &[&str]) -> String {
    done(convene(server, arguments))
}

/// What a command has printed that has not failed, and has had nothing else to say.
fn done(ended: Ended) -> String {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended.stdout
}

/// What a command has said that ended with this code, and without a result.
fn failed(ended: Ended, code: i32) -> String {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
    ended.stderr
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The words of each line: what stands between at least two spaces.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(words).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// Makes a cluster under a token.
fn make(server: &Server, token: &str, flags: &[&str]) {
    said(server, &[&["cluster", "create", "--token", token], flags].concat());
}

/// Registers a member as a stock etcd does.
async fn register(server: &Server, token: &str, key: &str, value: &str) {
    let put = Client::new().put(format!("{}/{token}/{key}", server.url)).form(&[("value", value)]);
    assert_eq!(put.send().await.unwrap().status(), 201);
}
