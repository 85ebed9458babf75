//! Where the workspace's own programs are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use crate::Process;

/// Longer than a build of everything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(1200);

/// The `convene-server` of the sources as they are.
pub fn server() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| program("convene-server")).clone()
}

/// The `convene` of the sources as they are.
pub fn client() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| program("convene")).clone()
}

/// Cargo has built the programs of the tested package and tells where they are. Those of another package may be
/// missing or stale, so they are built, which takes a moment if they are not.
fn program(name: &str) -> PathBuf {
    if let Some(built) = env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return built.into();
    }
    // target/PROFILE/deps/TEST
    let test = env::current_exe().expect("this program has a path");
    let folder = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps");
    build(name, folder);
    folder.join(name)
}

/// Builds a program into a profile's folder. Cargo holds no lock while it runs tests, so that this waits for nobody
/// but other tests that do the same.
fn build(name: &str, folder: &Path) {
    let profile = folder.file_name().and_then(|profile| profile.to_str()).expect("the folder is named by the profile");
    let target = folder.parent().expect("the profile's folder is in the target folder");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--bin", name, "--profile", if profile == "debug" { "dev" } else { profile }])
        .arg("--target-dir")
        .arg(target);
    let mut cargo = Process::spawn(&format!("cargo build --bin {name}"), &mut command);
    let code = cargo.wait_for_exit(LIMIT);
    assert_eq!(code, Some(0), "{name} is not built:\n{}", cargo.output());
}
