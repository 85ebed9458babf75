//! `scripts/demo` shows a repair from its first to its last line, and leaves nothing behind.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use convene_harness::{Process, etcd::Version, programs};
use tempfile::TempDir;

/// How long the demo may take for all its commands.
const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn the_spare_takes_the_place_of_a_killed_node() {
    let Some(etcd) = Version::find("3.7") else { return };
    let folder = TempDir::new().unwrap();
    let commands = "wait\nstatus\nkill infra1\nwait\nstatus\nevents\nget greeting\nquit\n";
    let mut demo = start(etcd.folder(), folder.path(), commands);
    demo.wait_for_output("infra3 starts:", LIMIT);
    // The server, three agents and their etcds at least: otherwise the check at the end would prove nothing.
    assert!(processes(folder.path()).len() >= 7, "{}", demo.output());
    let code = demo.wait_for_exit(LIMIT);
    let output = demo.output();
    assert_eq!(code, Some(0), "{output}");

    let (before, after) = output.split_once("demo> kill infra1").unwrap_or_else(|| panic!("{output}"));
    let whole = "s, the cluster has three healthy voters: infra0, infra1, infra2.";
    assert!(before.contains(whole) && before.contains("infra3   spare: standing by"), "{output}");
    for expected in [
        "infra3 is the spare. It takes the place of infra1",
        "s, the cluster has three healthy voters: infra0, infra2, infra3.",
        "(has 3 voters and 0 learners)",
        "3 of 3 voters answer",
        "infra1   does not run",
        "infra3   voter: ",
        "greeting\nhello\n",
    ] {
        assert!(after.contains(expected), "{expected:?} is missing:\n{output}");
    }
    // Once as it came, and once in the history.
    assert_eq!(after.matches("infra1 removed: it is not in etcd's list any more").count(), 2, "{output}");
    assert_nothing_is_left(folder.path(), &output);
}

#[test]
fn a_command_that_fails_ends_the_demo_unless_a_person_types_it() {
    let Some(etcd) = Version::find("3.7") else { return };
    let folder = TempDir::new().unwrap();
    let mut demo = start(etcd.folder(), folder.path(), "kill infra9\nstatus\n");
    let code = demo.wait_for_exit(LIMIT);
    let output = demo.output();
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("infra9 is not a node; the nodes are infra0 infra1 infra2 infra3"), "{output}");
    assert!(!output.contains("demo> status"), "{output}");
    assert_nothing_is_left(folder.path(), &output);
}

#[test]
fn a_signal_ends_the_demo_in_order() {
    let Some(etcd) = Version::find("3.7") else { return };
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let folder = TempDir::new().unwrap();
        // Without commands, the demo could end before the signal on a slow machine.
        let mut demo = start(etcd.folder(), folder.path(), "kill infra1\nwait\n");
        demo.wait_for_output("infra0, infra1 and infra2 start.", LIMIT);
        demo.signal(signal);
        let code = demo.wait_for_exit(LIMIT);
        let output = demo.output();
        assert_eq!(code, Some(expected), "{output}");
        assert_nothing_is_left(folder.path(), &output);
    }
}

#[test]
fn an_etcd_that_is_too_old_is_refused() {
    let folder = TempDir::new().unwrap();
    let etcd = folder.path().join("etcd");
    fs::write(&etcd, "#!/bin/sh\necho etcd Version: 2.3.8\n").unwrap();
    fs::set_permissions(&etcd, fs::Permissions::from_mode(0o755)).unwrap();
    let temporary = TempDir::new().unwrap();
    let mut demo = start(folder.path().to_str().unwrap(), temporary.path(), "");
    assert_eq!(demo.wait_for_exit(LIMIT), Some(1));
    let expected = format!("scripts/demo: {} is version 2.3.8, but Convene needs etcd 3.4 to 3.7\n", etcd.display());
    assert_eq!(demo.output(), expected);
    assert_nothing_is_left(temporary.path(), &expected);
}

/// Starts the demo with the etcd of a folder. It reads commands, and makes its own folder in `temporary`.
fn start(etcd: &str, temporary: &Path, commands: &str) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo");
    let mut command = Command::new(script);
    command.arg("--programs").arg(programs::client().parent().unwrap()).env("TMPDIR", temporary);
    command.env("PATH", format!("{etcd}:{}", env::var("PATH").unwrap()));
    Process::spawn_with_input("scripts/demo", &mut command, commands)
}

fn assert_nothing_is_left(temporary: &Path, output: &str) {
    let left: Vec<PathBuf> = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?} is left:\n{output}");
    let left = processes(temporary);
    assert!(left.is_empty(), "{left:?} still run:\n{output}");
}

/// The command lines of the processes that have inherited the variable `TMPDIR` of a demo.
fn processes(temporary: &Path) -> Vec<String> {
    let variable = format!("TMPDIR={}", temporary.display());
    let of_demo = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let processes =
        fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(|process| of_demo(process));
    processes
        .map(|process| String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default()).into_owned())
        .collect()
}
