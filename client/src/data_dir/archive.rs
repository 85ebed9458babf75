//! Sets a member's data aside, so that etcd starts here as a new member. Nothing is deleted, and nothing is
//! copied: an archive is the old directory by another name, with its owner and permissions.
//!
//! # Broken off half-way
//!
//! Each step is one rename, and is on disk before the next begins. With the WAL inside the data directory there is
//! one step only. With a WAL directory of its own there are two, and the WAL goes last. In between there
//! is a WAL without a database: it still says whose it is, so who reads it next comes to the same verdict,
//! and archiving again moves what is left. The other way round there would be a database without a WAL in
//! between: etcd would start as a new member, and take the old one's keys and consistent index along.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{DataDirError, files, wal};

/// Sets aside what is in the directories, and says where it is now.
pub fn archive(data_dir: &Path, wal_dir: &Path, at: SystemTime) -> Result<Vec<PathBuf>, DataDirError> {
    let stamp = stamp(at);
    let data = archive_data(data_dir, &stamp)?;
    // A WAL directory inside the data directory may have gone along.
    let wal = archive_wal(wal_dir, &stamp)?;
    Ok(data.into_iter().chain(wal).collect())
}

/// Renames the data directory. If its name must stay where it is, renames what etcd has in there, its directory
/// `member`: of other names in its data directory etcd says that they are there, and leaves them alone
/// (`server/etcdmain/etcd.go:identifyDataDirOrDie`, the same from 3.4 to 3.7).
fn archive_data(data_dir: &Path, stamp: &str) -> Result<Option<PathBuf>, DataDirError> {
    let Some(found) = files::file_type(data_dir)? else { return Ok(None) };
    let member = data_dir.join("member");
    if found.is_dir() && !files::exists(&member)? {
        // It is empty, or holds what has been set aside before.
        return Ok(None);
    }
    if !found.is_dir() || etcd_can_make_anew(data_dir)? {
        match rename_beside(data_dir, stamp) {
            Err(Blocked { in_place: true, .. }) if found.is_dir() => {}
            moved => return moved.map(Some).map_err(|blocked| blocked.error("rename", data_dir)),
        }
    }
    rename_beside(&member, stamp).map(Some).map_err(|blocked| blocked.error("rename", &member))
}

/// Renames the WAL directory, if it has a WAL.
///
/// One that can't be renamed is left as it is. To move its files into a subdirectory would not save them: when
/// etcd has prepared a new WAL beside the WAL directory, it deletes everything in there before it renames the
/// new one into place (`server/storage/wal/wal.go:renameWAL`, the same from 3.4 to 3.7). Onto a mount point it
/// can't, and dies, but the files are gone by then.
fn archive_wal(wal_dir: &Path, stamp: &str) -> Result<Option<PathBuf>, DataDirError> {
    if !wal::exists(wal_dir)? {
        return Ok(None);
    }
    rename_beside(wal_dir, stamp).map(Some).map_err(|blocked| match blocked {
        Blocked { in_place: true, source } => DataDirError::WalStays { path: wal_dir.to_owned(), source },
        blocked => blocked.error("rename", wal_dir),
    })
}

/// Whether etcd finds everything as it was if the data directory is renamed, for it makes a new one itself.
///
/// Not if it is a link: without it etcd would put its data on another disk than it was told to, and if what it
/// leads to were renamed, it would lead nowhere. Not if whoever owns the directory does not own the one
/// above either: then someone else made it, and etcd may not be allowed to.
fn etcd_can_make_anew(data_dir: &Path) -> Result<bool, DataDirError> {
    let Some(parent) = parent(data_dir) else { return Ok(false) };
    let directory = fs::symlink_metadata(data_dir).map_err(DataDirError::when("look at", data_dir))?;
    let above = fs::metadata(parent).map_err(DataDirError::when("look at", parent))?;
    Ok(!directory.is_symlink() && directory.uid() == above.uid())
}

/// Why something has not been renamed.
struct Blocked {
    /// Whether it is because of the place where it is, so that something else might be renamed instead: it is a mount
    /// point, or on another layer of an overlay, or the directory that it is in may not be changed.
    in_place: bool,
    source: io::Error,
}

impl Blocked {
    fn error(self, action: &'static str, path: &Path) -> DataDirError {
        DataDirError::when(action, path)(self.source)
    }
}

impl From<io::Error> for Blocked {
    fn from(source: io::Error) -> Self {
        let in_place = matches!(
            source.kind(),
            ErrorKind::ResourceBusy
                | ErrorKind::CrossesDevices
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
        );
        Self { in_place, source }
    }
}

/// Renames to `NAME.archived-STAMP` in the same directory, and has that on disk when it returns. A link is
/// renamed itself, and still leads to where it led.
fn rename_beside(path: &Path, stamp: &str) -> Result<PathBuf, Blocked> {
    let (Some(parent), Some(name)) = (parent(path), path.file_name()) else {
        return Err(Blocked { in_place: true, source: ErrorKind::InvalidFilename.into() });
    };
    let mut archived = name.to_owned();
    archived.push(".archived-");
    archived.push(stamp);
    let archived = parent.join(free_name(parent, archived)?);
    fs::rename(path, &archived)?;
    // This fails for other reasons than the place: the renaming was possible.
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|source| Blocked { in_place: false, source })?;
    Ok(archived)
}

/// The name, or with a number behind it if it is taken.
fn free_name(parent: &Path, name: OsString) -> io::Result<OsString> {
    let mut candidate = name.clone();
    for number in 2.. {
        match fs::symlink_metadata(parent.join(&candidate)) {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
            Ok(_) => {
                candidate.clone_from(&name);
                candidate.push(format!("-{number}"));
            }
        }
    }
    Ok(candidate)
}

/// The directory that a path is in; `None` if the path does not end in a name.
fn parent(path: &Path) -> Option<&Path> {
    path.file_name()?;
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// A time as part of a name: `2026-11-22T20-15-03Z`.
fn stamp(at: SystemTime) -> String {
    // A clock may be set to anything, but humantime writes only what has a year of four digits.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(at.clamp(SystemTime::UNIX_EPOCH, last)).to_string().replace(':', "-")
}
