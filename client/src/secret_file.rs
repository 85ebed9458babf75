use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::command_error::CommandError;

/// The most bytes of a file with a secret. Every secret is shorter.
const MAX_BYTES: u64 = 4096;

/// Reads a file with a secret. An error does not repeat its contents.
pub fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read the file: {error}"))?;
    Ok(text)
}

/// A new file for a secret, which only its owner can read. It exists before the secret does, so that no secret is created that can't
/// be kept; and it is removed again if there is none.
#[derive(Debug)]
pub struct SecretFile {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl SecretFile {
    /// Creates the file. Fails if it exists: another secret may be in it.
    pub fn create(path: &Path) -> Result<Self, CommandError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| CommandError::Local(format!("cannot create {}: {error}", path.display())))?;
        Ok(Self { file, path: path.to_owned(), is_written: false })
    }

    /// Writes the secret.
    pub fn write(mut self, secret: &str) -> Result<(), CommandError> {
        let written = self.file.write_all(format!("{secret}\n").as_bytes()).and_then(|()| self.file.sync_all());
        self.is_written = true;
        written.map_err(|error| CommandError::Local(format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_written {
            // If it stays, it is empty.
            let _ = fs::remove_file(&self.path);
        }
    }
}
