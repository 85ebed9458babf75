//! Processes, and the workspace's own programs.

use std::{process::Command, time::Duration};

use convene_harness::{Process, convene::Convene, server::Server};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn both_output_streams_are_read_and_a_process_is_killed_at_a_line() {
    let script = "echo one; echo two >&2; echo three; echo end >&2; exec sleep 100";
    let mut process = Process::spawn("a script", Command::new("sh").args(["-c", script]));
    assert_eq!(process.wait_for_stderr("tw", LIMIT), "two");
    assert_eq!(process.wait_for_stdout("e", LIMIT), "one");
    assert_eq!(process.kill_at("end", LIMIT), "end");
    assert!(!process.is_running());
    assert_eq!(process.wait_for_exit(LIMIT), None, "a signal has ended it");
    assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("one\nthree\n", "two\nend\n"));
}

#[test]
#[should_panic(expected = "never printed \"two\":\none")]
fn a_wait_for_output_fails_at_once_if_the_process_has_ended() {
    let process = Process::spawn("a script", Command::new("echo").arg("one"));
    process.wait_for_output("two", Duration::from_secs(3600));
}

#[test]
fn the_client_runs_to_completion() {
    let ended = Convene::new(["--version"]).env("CONVENE_ANYTHING", "1").run(LIMIT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn the_server_survives_a_crash() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let cluster = runtime.block_on(server.new_cluster(3));
    let server = server.crash().restart();
    assert!(cluster.starts_with(&server.url), "{cluster} is at {}", server.url);
}
