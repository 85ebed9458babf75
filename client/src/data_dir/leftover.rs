//! What is left where a WAL is not.

use std::{ffi::OsStr, path::Path};

use super::{
    DataDirError,
    backend::{self, Applied},
    files::{self, ReadError},
};

/// What a data directory without a WAL still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Neither a database nor a snapshot.
    None,
    /// A database to which nothing has ever been applied, such as a failed join leaves. It is harmless, and goes
    /// into use with the next start.
    NothingApplied,
    /// A member has run here, and would mix its keys with those of the member that starts next.
    Applied {
        /// The last Raft entry that is known to be in there.
        index: u64,
    },
    /// There is something that can't be read.
    Unreadable {
        /// What was found and where, for people.
        found: String,
    },
}

/// What the directory holds in which etcd keeps its database and its snapshots.
pub fn find(snap_dir: &Path) -> Result<Leftover, DataDirError> {
    match look(snap_dir) {
        Ok(left_overs) => Ok(left_overs),
        Err(ReadError::Damaged(found)) => Ok(Leftover::Unreadable { found }),
        Err(ReadError::Io(error)) => Err(error),
    }
}

fn look(snap_dir: &Path) -> Result<Leftover, ReadError> {
    let names = files::names(snap_dir)?;
    let snapshots: Vec<u64> = names
        .iter()
        .filter(|name| is_snapshot(name))
        .map(|name| index_of(name).ok_or_else(|| not_etcds(&snap_dir.join(name))))
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

/// Whether a name is that of a snapshot, or of a database that a leader has sent: a member that has not run has
/// neither.
fn is_snapshot(name: &OsStr) -> bool {
    name.to_string_lossy().ends_with(".snap") || name.to_string_lossy().ends_with(".snap.db")
}

/// The Raft index up to which a snapshot goes: `TERM-INDEX.snap` (`server/etcdserver/api/snap/snapshotter.go:save`)
/// or `INDEX.snap.db` (`db.go:dbFilePath`).
fn index_of(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    match name.strip_suffix(".snap.db") {
        Some(index) => files::hexadecimal(index),
        None => files::hexadecimal(name.strip_suffix(".snap")?.split_once('-')?.1),
    }
}

fn not_etcds(path: &Path) -> ReadError {
    ReadError::Damaged(format!("{} is not named as etcd names its snapshots", path.display()))
}
