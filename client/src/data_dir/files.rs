//! File operations that distinguish a missing file, a path that is not a directory, and an unreadable file.

use std::{
    ffi::OsString,
    fs::{self, FileType},
    io::{self, ErrorKind},
    path::Path,
};

use super::DataDirError;

/// Why the contents of a data directory cannot be determined.
pub enum ReadError {
    /// The data is damaged: what is wrong, and in which file.
    Damaged(String),
    /// The operating system failed.
    Io(DataDirError),
}

impl From<DataDirError> for ReadError {
    fn from(error: DataDirError) -> Self {
        Self::Io(error)
    }
}

/// The names in a directory; none if the directory is missing.
///
/// An unreadable directory is an error. etcd treats it as a directory without a WAL (`server/storage/wal/util.go:Exist`).
pub fn names(directory: &Path) -> Result<Vec<OsString>, ReadError> {
    let failed = |error| ReadError::from(DataDirError::when("list", directory)(error));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            check_missing(directory)?;
            return Ok(Vec::new());
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(ReadError::Damaged(format!(
                "{}, or a directory above it, is not a directory",
                directory.display()
            )));
        }
        Err(error) => return Err(failed(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>().map_err(failed)
}

/// Whether the path is a regular file. Opening anything else might block or have side effects.
pub fn is_file(path: &Path) -> Result<bool, DataDirError> {
    file_type(path).map(|found| found.is_some_and(|found| found.is_file()))
}

/// Whether the name exists, even as a broken link.
pub fn exists(path: &Path) -> Result<bool, DataDirError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(DataDirError::when("inspect", path)(error)),
    }
}

/// The type of the file, after following links; `None` if it is missing.
pub fn file_type(path: &Path) -> Result<Option<FileType>, DataDirError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound => check_missing(path).map(|()| None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(DataDirError::when("inspect", path)(error)),
    }
}

/// Fails if the path is missing because of a broken link.
fn check_missing(path: &Path) -> Result<(), DataDirError> {
    let existing = path.ancestors().find(|ancestor| fs::symlink_metadata(ancestor).is_ok());
    match existing.and_then(|link| Some((link, fs::read_link(link).ok()?))) {
        Some((link, target)) if fs::metadata(link).is_err() => {
            Err(DataDirError::BrokenLink { link: link.to_owned(), target })
        }
        _ => Ok(()),
    }
}

/// Parses the 16 hexadecimal digits of a number in a file name of etcd.
pub fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}
