#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("there is a folder for temporary files"));

fuzz_target!(|bytes: &[u8]| convene_client::fuzzing::bbolt(FOLDER.path(), bytes));
