//! Runs a test in another process with other privileges.

use std::{
    env,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Output},
};

/// Set in the process that runs the body of the test.
const RERUN: &str = "CONVENE_TEST_RERUN";

/// The user ID of `nobody`.
const NOBODY: u32 = 65534;

/// Runs the body without the privileges of root.
pub fn without(module: &str, test: &str, body: impl FnOnce()) {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if env::var_os(RERUN).is_some() || !is_root {
        return body();
    }
    let binary = env::current_exe().unwrap();
    if Command::new(&binary).arg("--list").uid(NOBODY).gid(NOBODY).output().is_err() {
        eprintln!("SKIPPED: the user nobody may not run {}", binary.display());
        return;
    }
    let output = Command::new(&binary).args(only(module, test)).env(RERUN, "1").uid(NOBODY).gid(NOBODY).output();
    check(&output.unwrap());
}

/// Runs the body with a directory on which a file system is mounted.
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
        eprintln!("SKIPPED: mounting is not allowed here");
        return;
    }
    let binary = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let command: Vec<String> = [binary].into_iter().chain(only(module, test)).collect();
    check(&mounted(&command).unwrap());
}

/// The arguments for the test binary to run only this test.
fn only(module: &str, test: &str) -> [String; 3] {
    let (_, module) = module.split_once("::").unwrap();
    [format!("{module}::{test}"), "--exact".to_owned(), "--nocapture".to_owned()]
}

fn check(test: &Output) {
    let output = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success(), "{output}{}", String::from_utf8_lossy(&test.stderr));
    assert!(output.contains("1 passed"), "no test has this name: {output}");
}
