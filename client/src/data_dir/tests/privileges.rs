//! Runs a test again with the privileges that it is about.

use std::{
    env,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Output},
};

/// Set in the process in which the test's body runs.
const RERUN: &str = "CONVENE_TEST_RERUN";

/// Nobody's user ID.
const NOBODY: u32 = 65534;

/// Runs the body as someone who is not root.
pub fn without(module: &str, test: &str, body: impl FnOnce()) {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if env::var_os(RERUN).is_some() || !is_root {
        return body();
    }
    let binary = env::current_exe().unwrap();
    if Command::new(&binary).arg("--list").uid(NOBODY).gid(NOBODY).output().is_err() {
        eprintln!("SKIPPED: nobody may not run {}", binary.display());
        return;
    }
    let again = Command::new(&binary).args(only(module, test)).env(RERUN, "1").uid(NOBODY).gid(NOBODY).output();
    check(&again.unwrap());
}

/// Runs the body where a file system of its own is mounted on the directory that the body is given.
pub fn with_mount(module: &str, test: &str, body: impl FnOnce(&Path)) {
    if let Some(directory) = env::var_os(RERUN) {
        return body(Path::new(&directory));
    }
    let temporary = tempfile::tempdir().unwrap();
    let mount_point = temporary.path().join("mounted");
    std::fs::create_dir(&mount_point).unwrap();
    let mounted = |command: &[String]| {
        Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\""])
            .arg(&mount_point)
            .args(command)
            .env(RERUN, &mount_point)
            .output()
    };
    if !mounted(&["true".to_owned()]).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: nothing may be mounted here");
        return;
    }
    let binary = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let command: Vec<String> = [binary].into_iter().chain(only(module, test)).collect();
    check(&mounted(&command).unwrap());
}

/// What makes the test binary run this test alone.
fn only(module: &str, test: &str) -> [String; 3] {
    let (_, module) = module.split_once("::").unwrap();
    [format!("{module}::{test}"), "--exact".to_owned(), "--nocapture".to_owned()]
}

fn check(again: &Output) {
    let output = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success(), "{output}{}", String::from_utf8_lossy(&again.stderr));
    assert!(output.contains("1 passed"), "the test is not found by its name: {output}");
}
