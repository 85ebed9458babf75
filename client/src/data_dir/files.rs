//! Looks at files so that what is missing, what is no directory and what can't be read are told apart.

use std::{
    ffi::OsString,
    fs::{self, FileType},
    io::{self, ErrorKind},
    path::Path,
};

use super::DataDirError;

/// What stands in the way of understanding the data.
pub enum ReadError {
    /// It is in the data: what was found, and where.
    Damaged(String),
    /// It is not in the data.
    Io(DataDirError),
}

impl From<DataDirError> for ReadError {
    fn from(error: DataDirError) -> Self {
        Self::Io(error)
    }
}

/// The names in a directory; none if it is missing.
///
/// etcd takes a directory that it may not read for one without a WAL (`server/storage/wal/util.go:Exist`).
/// That is not done here.
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
                "{}, or what it should be in, is no directory",
                directory.display()
            )));
        }
        Err(error) => return Err(failed(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>().map_err(failed)
}

/// Whether there is a regular file. To open anything else might block, or do something.
pub fn is_file(path: &Path) -> Result<bool, DataDirError> {
    file_type(path).map(|found| found.is_some_and(|found| found.is_file()))
}

/// Whether there is anything by this name, be it a link to nothing.
pub fn exists(path: &Path) -> Result<bool, DataDirError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(DataDirError::when("look at", path)(error)),
    }
}

/// What there is behind links; `None` if nothing is there.
pub fn file_type(path: &Path) -> Result<Option<FileType>, DataDirError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound => check_missing(path).map(|()| None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(DataDirError::when("look at", path)(error)),
    }
}

/// Refuses to call missing what is behind a link to nothing.
fn check_missing(path: &Path) -> Result<(), DataDirError> {
    let existing = path.ancestors().find(|ancestor| fs::symlink_metadata(ancestor).is_ok());
    match existing.and_then(|link| Some((link, fs::read_link(link).ok()?))) {
        Some((link, target)) if fs::metadata(link).is_err() => {
            Err(DataDirError::LeadsNowhere { link: link.to_owned(), target })
        }
        _ => Ok(()),
    }
}

/// The number that etcd writes into names as 16 hexadecimal digits.
pub fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}
