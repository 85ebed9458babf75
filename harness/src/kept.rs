//! What a test leaves behind: nothing, unless CONVENE_TEST_KEEP names a folder for it.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
};

use tempfile::TempDir;

/// A folder that is removed when its handle is dropped, or kept in the folder that CONVENE_TEST_KEEP names.
pub(crate) fn folder() -> TempDir {
    match kept() {
        Some(kept) => tempfile::Builder::new().disable_cleanup(true).tempdir_in(kept).unwrap(),
        None => TempDir::new().unwrap(),
    }
}

/// The file for a process' output in the folder that CONVENE_TEST_KEEP names.
pub(crate) fn log(process: &str, id: u32) -> Option<File> {
    let plain = process.replace(|letter: char| !letter.is_ascii_alphanumeric() && !"-._".contains(letter), "-");
    // A command line may be longer than a file's name.
    let plain: String = plain.chars().take(150).collect();
    kept().map(|kept| File::create(kept.join(format!("{plain}.{id}.log"))).unwrap())
}

fn kept() -> Option<PathBuf> {
    let kept = PathBuf::from(env::var_os("CONVENE_TEST_KEEP").filter(|folder| !folder.is_empty())?);
    fs::create_dir_all(&kept).unwrap();
    Some(kept)
}
