//! Where the programs are that Convene is tested against; `scripts/peers/install` puts them there.

use std::{env, path::PathBuf};

/// A program of a folder of the peers, or `None` if it is missing: then the test prints that it skips what
/// needs it, unless CONVENE_TEST_REQUIRE_PEERS makes that a failure.
pub fn program(package: &str, name: &str) -> Option<PathBuf> {
    let program = folder().join(package).join(name);
    if program.exists() {
        return Some(program);
    }
    skip(&format!("{} is missing; scripts/peers/install installs it", program.display()));
    None
}

/// Prints why a test skips something, unless CONVENE_TEST_REQUIRE_PEERS makes that a failure.
pub fn skip(why: &str) {
    assert!(env::var_os("CONVENE_TEST_REQUIRE_PEERS").is_none(), "{why}, and CONVENE_TEST_REQUIRE_PEERS is set");
    eprintln!("SKIPPED: {why}");
}

/// The folder of all of them.
pub(crate) fn folder() -> PathBuf {
    if let Some(peers) = env::var_os("CONVENE_TEST_PEERS") {
        return peers.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
    cache.unwrap_or_else(home).join("convene/peers")
}
