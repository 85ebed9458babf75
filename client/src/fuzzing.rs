//! What the fuzz targets in fuzz/ call: each takes any bytes, and must neither panic nor hang.

use std::{fs, path::Path};

use crate::data_dir::DataDir;

/// Reads a WAL whose only segment has these bytes, in a folder for the data directory.
pub fn wal(folder: &Path, bytes: &[u8]) {
    write(&folder.join("member/wal"), "0000000000000000-0000000000000000.wal", bytes);
    let data_dir = DataDir::new(folder.to_owned(), None);
    let _ = data_dir.read();
    let _ = data_dir.evidence();
}

/// Reads a database with these bytes, in a folder for the data directory.
pub fn bbolt(folder: &Path, bytes: &[u8]) {
    write(&folder.join("member/snap"), "db", bytes);
    let data_dir = DataDir::new(folder.to_owned(), None);
    let _ = data_dir.members();
    let _ = data_dir.leftover();
    let _ = data_dir.is_in_use();
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).expect("the folder is the target's own");
    fs::write(folder.join(name), bytes).expect("the file is the target's own");
}

#[cfg(test)]
mod tests {
    use convene_harness::fuzz_seeds;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn every_seed_of_the_fuzz_targets_is_read() {
        for (name, run) in [("wal", wal as fn(&Path, &[u8])), ("bbolt", bbolt)] {
            for seed in fuzz_seeds(name) {
                run(TempDir::new().unwrap().path(), &seed);
            }
        }
    }
}
