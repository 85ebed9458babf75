//! Where the workspace's own programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

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

/// A program that Cargo has put two folders above this test, as it does with those of the packages that it tests. Those of another
/// package may be missing or stale, unless CONVENE_TEST_BUILT declares that all are built, as `scripts/test` does. CONVENE_TEST_PROGRAMS
/// names a folder with others, such as `target/release`.
fn program(name: &str) -> PathBuf {
    if let Some(folder) = env::var_os("CONVENE_TEST_PROGRAMS") {
        return Path::new(&folder).join(name);
    }
    // target/PROFILE/deps/TEST
    let test = env::current_exe().expect("this program has a path");
    let program = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps").join(name);
    let is_up_to_date =
        ["CONVENE_TEST_BUILT", &format!("CARGO_BIN_EXE_{name}")].map(env::var_os).iter().any(Option::is_some);
    let built = fs::metadata(&program).and_then(|file| file.modified()).ok();
    if !is_up_to_date && built.is_none_or(|built| built < last_change()) {
        panic!(
            "{} is missing or older than the sources: run `cargo build --workspace --bins`, or the tests with scripts/test",
            program.display()
        );
    }
    program
}

/// When a source of the programs was last changed.
fn last_change() -> SystemTime {
    let sources = ["client/src", "etcd/src", "lifecycle/src", "migrations", "server/src"];
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = sources.map(|folder| workspace.join(folder)).to_vec();
    let mut last = SystemTime::UNIX_EPOCH;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are where they were compiled").map(Result::unwrap) {
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                last = last.max(about.modified().unwrap());
            }
        }
    }
    last
}
