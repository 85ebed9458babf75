//! The database of a data directory without a WAL.

use std::{ffi::OsStr, path::Path};

use super::{
    DataDirError,
    backend::{self, Applied},
    files::{self, ReadError},
};

/// A database or snapshot without a WAL: it belongs to an interrupted start, or to a member that has lost its WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Neither a database nor a snapshot.
    None,
    /// A database to which nothing was ever applied, such as a failed join leaves. It is harmless: the next start uses it.
    NothingApplied,
    /// The database of a member that has run here. Its keys would mix with those of the next member.
    Applied {
        /// The index of the last Raft entry that is known to be applied.
        index: u64,
    },
    /// The database or a snapshot is unreadable.
    Unreadable {
        /// What is wrong, and in which file.
        found: String,
    },
}

/// Reads the directory of the database and the snapshots.
pub fn find(snap_dir: &Path) -> Result<Leftover, DataDirError> {
    match read(snap_dir) {
        Ok(leftover) => Ok(leftover),
        Err(ReadError::Damaged(found)) => Ok(Leftover::Unreadable { found }),
        Err(ReadError::Io(error)) => Err(error),
    }
}

fn read(snap_dir: &Path) -> Result<Leftover, ReadError> {
    let names = files::names(snap_dir)?;
    let snapshots: Vec<u64> = names
        .iter()
        .filter(|name| is_snapshot(name))
        .map(|name| raft_index(name).ok_or_else(|| misnamed(&snap_dir.join(name))))
        .collect::<Result<_, _>>()?;
    let database = names.iter().any(|name| *name == "db");
    let applied = if database { backend::applied(&snap_dir.join("db"))? } else { Applied::Nothing };
    let applied = match applied {
        Applied::Nothing => None,
        Applied::UpTo(index) => Some(index),
    };
    Ok(match applied.into_iter().chain(snapshots).max() {
        Some(index) => Leftover::Applied { index },
        None if database => Leftover::NothingApplied,
        None => Leftover::None,
    })
}

/// Whether the name is that of a snapshot, or of a database that a leader has sent. A member that has never run has
/// neither.
fn is_snapshot(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with(".snap") || name.to_string_lossy().ends_with(".snap.db")
}

/// The Raft index of a snapshot: `TERM-INDEX.snap` (`server/etcdserver/api/snap/snapshotter.go:save`)
/// or `INDEX.snap.db` (`db.go:dbFilePath`).
fn raft_index(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    match name.strip_suffix(".snap.db") {
        Some(index) => files::hexadecimal(index),
        None => files::hexadecimal(name.strip_suffix(".snap")?.split_once('-')?.1),
    }
}

fn misnamed(path: &Path) -> ReadError {
    ReadError::Damaged(format!("{} does not have the name of an etcd snapshot", path.display()))
}
