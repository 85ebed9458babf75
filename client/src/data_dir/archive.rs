//! Archives a member's data, so that etcd starts here as a new member. Nothing is deleted or copied: an archive is the
//! old directory under another name, with its owner and permissions.
//!
//! # Interruptions
//!
//! Each step is one rename, and is on disk before the next step begins. If the WAL is inside the data directory, there is
//! one step. With a separate WAL directory there are two, and the WAL is renamed last. If the process is killed in
//! between, there is a WAL without a database. The WAL still names the member, so the next run comes to the same verdict
//! and archives the rest. In the reverse order there would be a database without a WAL: etcd would start as a new member
//! with the keys and the consistent index of the old one.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use convene_lifecycle::Identity;

use super::{Contents, DataDirError, files, wal};

/// Stands between the name of what was archived and the time.
const ARCHIVED: &str = ".archived-";

/// Archives the contents of the directories, and returns the new paths.
pub fn archive(data_dir: &Path, wal_dir: &Path, at: SystemTime) -> Result<Vec<PathBuf>, DataDirError> {
    let stamp = stamp(at);
    let data = archive_data(data_dir, &stamp)?;
    // A WAL directory inside the data directory may have been renamed with it.
    let wal = archive_wal(wal_dir, &stamp)?;
    Ok(data.into_iter().chain(wal).collect())
}

/// The WALs that were archived here, and whose data each is. What can't be read does not count.
pub fn archived(data_dir: &Path, wal_dir: &Path) -> Vec<(PathBuf, Identity)> {
    let renamed = [data_dir.to_owned(), data_dir.join("member"), wal_dir.to_owned()];
    let mut found = Vec::new();
    for directory in renamed {
        let Ok(wal) = wal_dir.strip_prefix(&directory) else { continue };
        for archive in archives_of(&directory) {
            if let Ok(Contents::Member(identity)) = wal::read(&archive.join(wal)) {
                found.push((archive, identity));
            }
        }
    }
    found
}

/// What this directory was renamed to.
fn archives_of(directory: &Path) -> Vec<PathBuf> {
    let (Some(parent), Some(name)) = (parent(directory), directory.file_name()) else { return Vec::new() };
    let prefix = [name.as_bytes(), ARCHIVED.as_bytes()].concat();
    let names = files::names(parent).unwrap_or_default();
    names.iter().filter(|name| name.as_bytes().starts_with(&prefix)).map(|name| parent.join(name)).collect()
}

/// Renames the data directory, or only the directory `member` in it if the data directory itself must stay. etcd logs
/// other names in its data directory and ignores them (`server/etcdmain/etcd.go:identifyDataDirOrDie`, the same from 3.4
/// to 3.7).
fn archive_data(data_dir: &Path, stamp: &str) -> Result<Option<PathBuf>, DataDirError> {
    let Some(found) = files::file_type(data_dir)? else { return Ok(None) };
    let member = data_dir.join("member");
    if found.is_dir() && !files::exists(&member)? {
        // The directory is empty, or has earlier archives only.
        return Ok(None);
    }
    if !found.is_dir() || etcd_can_recreate(data_dir)? {
        match rename_to_archive(data_dir, stamp) {
            Err(RenameError { has_to_stay: true, .. }) if found.is_dir() => {}
            moved => return moved.map(Some).map_err(|error| error.error("rename", data_dir)),
        }
    }
    rename_to_archive(&member, stamp).map(Some).map_err(|error| error.error("rename", &member))
}

/// Renames the WAL directory, if it has a WAL.
///
/// A WAL directory that can't be renamed is left unchanged. Moving its files into a subdirectory would not save them: etcd
/// prepares a new WAL in another directory, deletes everything in the WAL directory, and then renames the new one into its
/// place (`server/storage/wal/wal.go:renameWAL`, the same from 3.4 to 3.7). For a mount point the rename fails and etcd
/// exits, but then the files are gone.
fn archive_wal(wal_dir: &Path, stamp: &str) -> Result<Option<PathBuf>, DataDirError> {
    if !wal::exists(wal_dir)? {
        return Ok(None);
    }
    rename_to_archive(wal_dir, stamp).map(Some).map_err(|error| match error {
        RenameError { has_to_stay: true, source } => DataDirError::WalNotRenamed { path: wal_dir.to_owned(), source },
        error => error.error("rename", wal_dir),
    })
}

/// Whether etcd can create the data directory again after it was renamed.
///
/// A link must stay: without it, etcd would put its data on another disk than configured, and if its target were renamed,
/// it would be broken. The directory must also stay if its parent has another owner: then etcd may not be allowed to
/// create it.
fn etcd_can_recreate(data_dir: &Path) -> Result<bool, DataDirError> {
    let Some(parent) = parent(data_dir) else { return Ok(false) };
    let directory = fs::symlink_metadata(data_dir).map_err(DataDirError::when("inspect", data_dir))?;
    let above = fs::metadata(parent).map_err(DataDirError::when("inspect", parent))?;
    Ok(!directory.is_symlink() && directory.uid() == above.uid())
}

/// Why a rename failed.
struct RenameError {
    /// Whether the path has to stay, so that a directory inside it may be renamed instead: it is a mount point, or on
    /// another layer of an overlay, or its parent directory is not writable.
    has_to_stay: bool,
    source: io::Error,
}

impl RenameError {
    fn error(self, action: &'static str, path: &Path) -> DataDirError {
        DataDirError::when(action, path)(self.source)
    }
}

impl From<io::Error> for RenameError {
    fn from(source: io::Error) -> Self {
        let has_to_stay = matches!(
            source.kind(),
            ErrorKind::ResourceBusy
                | ErrorKind::CrossesDevices
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
        );
        Self { has_to_stay, source }
    }
}

/// Renames to `NAME.archived-STAMP` in the same directory, and syncs it to disk. Of a link, the link itself is renamed; it
/// keeps its target.
fn rename_to_archive(path: &Path, stamp: &str) -> Result<PathBuf, RenameError> {
    let (Some(parent), Some(name)) = (parent(path), path.file_name()) else {
        return Err(RenameError { has_to_stay: true, source: ErrorKind::InvalidFilename.into() });
    };
    let mut archived = name.to_owned();
    archived.push(ARCHIVED);
    archived.push(stamp);
    let archived = parent.join(free_name(parent, archived)?);
    fs::rename(path, &archived)?;
    // The rename has succeeded, so an error here has other reasons.
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(|source| RenameError { has_to_stay: false, source })?;
    Ok(archived)
}

/// The name, with a number appended if it is taken.
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

/// The parent directory of a path; `None` if the path does not end in a name.
fn parent(path: &Path) -> Option<&Path> {
    path.file_name()?;
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// A time in a form for file names: `2026-11-22T20-15-03Z`.
fn stamp(at: SystemTime) -> String {
    // humantime only formats years of four digits.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(at.clamp(SystemTime::UNIX_EPOCH, last)).to_string().replace(':', "-")
}
