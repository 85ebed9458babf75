//! Whatever a server answers: one line, no order to a terminal, and no command of a shell.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use convene_harness::convene::{Convene, Ended};
use serde_json::{Value, json};

use super::raw_server::{RawServer, http};
use crate::node::LIMIT;

const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c8";

/// Begins lines, hides and turns text, and runs commands in every kind of quotes.
const HOSTILE: &str = "a\nETCD_NAME=evil\r\nb\u{1b}]0;title\u{7}\u{1b}[2Jc\u{202e}d\u{2066}e\u{85}f\u{9b}g\u{2028}h\u{feff} $(touch pwned) \
                       `touch pwned` ';touch pwned;' \";touch pwned;\" \\\ntouch pwned\n#; touch pwned & export EVIL=1 | ETCD_X=$EVIL";

/// The same without what no name and no token may have.
const QUOTING: &str = "$(touch pwned)`touch pwned`';touch pwned;'\";touch pwned;\"\\";

const FORMATS: [&str; 4] = ["env", "dropin", "flags", "json"];

fn instruction(fields: Value) -> String {
    let mut all = json!({
        "instruction": "wait", "reason": HOSTILE, "message": HOSTILE, "remedy": HOSTILE,
        "check_in_after_seconds": 1, "revision": 1, "epoch": 1,
    });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    all.to_string()
}

fn call(server: &RawServer, folder: &Path, arguments: &[&str]) -> Ended {
    Convene::new(arguments)
        .env("CONVENE_DISCOVERY", format!("http://{}/{TOKEN}", server.address))
        .env("CONVENE_DATA_DIR", folder.join("data"))
        .run(LIMIT)
}

/// Each line is one of `convene`'s own, and none of its characters is unsafe.
fn assert_harmless(text: &str, is_own: impl Fn(&str) -> bool) {
    for line in text.lines() {
        let is_unsafe = |c: char| {
            c.is_control() || ['\u{feff}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{200f}'].contains(&c)
        };
        assert!(is_own(line) && !line.contains(is_unsafe), "{line:?} in {text:?}");
    }
}

/// Evaluates what was printed, as a script might do, and checks that nothing but variables of etcd was set, and no command ran. The
/// two variables of systemd's drop-in are no variables of etcd, and are not exported.
fn assert_sets_etcd_variables_only(printed: &str, folder: &Path) {
    let script = r#"set -f; eval "$1" 2>/dev/null; set | sed -n 's/^\([A-Za-z_]*\)=.*/\1/p'; export -p"#;
    for shell in ["dash", "bash", "sh"] {
        let shown = |printed: &str| {
            let mut command = Command::new(shell);
            command.args(["-c", script, shell, printed]).current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin");
            match command.output() {
                Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
                Err(_) => String::new(),
            }
        };
        let before = shown("true");
        for name in shown(printed).lines().filter(|line| !before.lines().any(|before| before == *line)) {
            let is_etcds = name.starts_with("ETCD_")
                || name.contains(" ETCD_")
                || ["Environment", "UnsetEnvironment"].contains(&name);
            // Bash names the last argument, and where it is.
            let is_shells = ["_", "BASH_LINENO", "LINENO", "PIPESTATUS", "FUNCNAME"].contains(&name);
            assert!(is_etcds || is_shells, "{shell} has set {name:?} after:\n{printed}");
        }
        assert!(!folder.join("pwned").exists(), "{shell} ran a command of:\n{printed}");
    }
}

#[test]
fn a_dry_run_prints_one_line_that_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["wait", "stand_by", "archive_data", "refuse", "unknown", HOSTILE] {
        let server = RawServer::with_json(instruction(json!({ "instruction": name })));
        for format in FORMATS {
            let printed = call(&server, folder.path(), &["join", "--name=infra0", "--dry-run", "-o", format]);
            assert_eq!(printed.code, Some(0), "{}", printed.stderr);
            match format {
                "json" => drop(serde_json::from_str::<Value>(&printed.stdout).unwrap()),
                _ => assert_eq!(printed.stdout.lines().count(), 1, "{:?}", printed.stdout),
            }
            assert_harmless(&printed.stdout, |line| format == "json" || line.starts_with("# next: "));
            assert_sets_etcd_variables_only(&printed.stdout, folder.path());
        }
    }
}

#[test]
fn the_configuration_of_etcd_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let own = "http://127.0.0.1:9";
    let bootstrap = |token: &str, other: &str| {
        let start = json!({
            "name": "infra0", "initial_advertise_peer_urls": [own],
            "initial_cluster": format!("infra0={own},{other}=http://127.0.0.1:10"), "initial_cluster_token": token,
        });
        RawServer::with_json(instruction(json!({ "instruction": "bootstrap", "start": start })))
    };
    let flags = ["join", "--name=infra0", "--no-promote", "--initial-advertise-peer-urls=http://127.0.0.1:9"];
    let mut printed_formats = 0;
    for (token, other) in [("t", "b"), (QUOTING, QUOTING)] {
        let server = bootstrap(token, other);
        for format in FORMATS {
            let printed = call(&server, folder.path(), &[&flags[..], &["-o", format]].concat());
            printed_formats += i32::from(printed.code == Some(0));
            // A value that no shell reads as it is on a command line is an error of -o flags.
            assert!(printed.code == Some(0) || format == "flags", "{}", printed.stderr);
            assert_harmless(&printed.stdout, |_| true);
            assert_harmless(&printed.stderr, |line| line.starts_with("convene: "));
            assert_sets_etcd_variables_only(&printed.stdout, folder.path());
        }
    }
    assert_eq!(printed_formats, 7);

    // Control and bidirectional characters are refused, and the node waits.
    for (token, other) in [(HOSTILE, "b"), ("t", "b\u{202e}"), ("t", "b\nETCD_NAME=evil")] {
        let server = bootstrap(token, other);
        let waiting = call(&server, folder.path(), &[&flags[..], &["--timeout=2s"]].concat());
        assert_eq!((waiting.code, waiting.stdout.as_str()), (Some(4), ""), "{}", waiting.stderr);
        assert!(waiting.stderr.contains("node_refused"), "{}", waiting.stderr);
        assert_harmless(&waiting.stderr, |line| line.starts_with("convene: "));
    }
}

#[test]
fn errors_tables_and_json_of_a_server_are_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let is_own = |line: &str| line.starts_with("convene: ") || line.starts_with('{');
    let refused = RawServer::with_json(instruction(json!({ "instruction": "refuse" })));
    let problem = json!({ "status": 403, "title": HOSTILE, "detail": HOSTILE, "violations": [{ "field": HOSTILE, "message": HOSTILE }] });
    let problem = http(&problem.to_string());
    let problem = String::from_utf8(problem).unwrap().replacen("200 OK", "403 Forbidden", 1).into_bytes();
    let problem = RawServer::answering(move |_| problem.clone());
    for server in [&refused, &problem] {
        for format in ["text", "json"] {
            let ended = call(server, folder.path(), &["join", "--name=infra0", "--log-format", format]);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{}", ended.stderr);
            assert_harmless(&ended.stderr, is_own);
        }
    }

    let cluster = json!({
        "token": TOKEN, "name": "b\u{202e}c", "size": 3, "revision": 1, "created_at": HOSTILE, "phase": HOSTILE, "epoch": 1, "voter_count": 0,
        "learner_count": 0, "ticket": null,
        "policy": { "strategy": "add", "dead_after_seconds": 5, "learner": true, "check_in_every_seconds": 5, "paused": false },
    });
    let event = json!({ "revision": 1, "at": HOSTILE, "kind": HOSTILE, "member_id": null, "message": HOSTILE });
    // White space between the values is the server's own, too.
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap().replace('\n', "\r\n\t");
    let events = [json!({ "events": [event], "last_revision": 1 }), json!({ "events": [], "last_revision": 1 })];
    let (cluster, events) = (pretty(&cluster), events.map(|page| pretty(&page)));
    let server = RawServer::answering(move |path| match path {
        path if path.contains("/events") => http(&events[usize::from(path.contains("after="))]),
        _ => http(&cluster),
    });
    let printed = call(&server, folder.path(), &["cluster", "events"]);
    assert_eq!((printed.code, printed.stdout.lines().count()), (Some(0), 2), "{printed:?}");
    assert_harmless(&printed.stdout, |_| true);
    let printed = call(&server, folder.path(), &["cluster", "events", "-o", "json"]);
    assert_eq!((printed.code, printed.stdout.lines().count()), (Some(0), 1), "{printed:?}");
    assert_harmless(&printed.stdout, |line| line.starts_with('{'));
    let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(printed["message"], HOSTILE, "the JSON is the same");
    let paused = call(&server, folder.path(), &["cluster", "resize", "3"]);
    assert_eq!(paused.stdout.lines().count(), 1, "{paused:?}");
    assert_harmless(&paused.stdout, |_| true);
}

#[test]
fn neither_an_endless_body_nor_deep_json_exhausts_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let deep = format!(
        r#"{{"instruction":"wait","reason":"r","message":"m","start":{}{}}}"#,
        "[".repeat(400_000),
        "]".repeat(400_000)
    );
    let long = instruction(json!({ "message": "x".repeat(1 << 20) }));
    for (server, found) in [
        (RawServer::endless(), "sends a response of more than 1 MiB"),
        (RawServer::with_json(long), "sends a response of more than 1 MiB"),
        (RawServer::with_json(deep), "is not a Convene server"),
    ] {
        let began = Instant::now();
        // 400 MB of address space: the program and one MiB of answer fit.
        let limited = format!("ulimit -v 400000; exec \"{}\" \"$@\"", convene_harness::programs::client().display());
        let mut command = Command::new("sh");
        command
            .args(["-c", &limited, "sh", "join", "--dry-run", "--name=infra0", "--data-dir"])
            .arg(folder.path().join("data"));
        command.env_clear().env("CONVENE_DISCOVERY", format!("http://{}/{TOKEN}", server.address));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{stderr}");
        assert!(stderr.contains(found), "{stderr}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

mod large {
    use super::*;

    #[test]
    fn a_body_that_never_ends_is_given_up_after_ten_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let (server, began) = (RawServer::dripping(), Instant::now());
        let ended = call(&server, folder.path(), &["join", "--name=infra0", "--dry-run"]);
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        let took = began.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
    }
}
