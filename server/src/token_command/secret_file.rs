use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A new file with a secret, which only its owner can read. It is removed unless it is [kept](SecretFile::keep): a secret that
/// did not become valid is of no use.
pub struct SecretFile {
    path: PathBuf,
    is_kept: bool,
}

impl SecretFile {
    /// Writes a file that does not exist yet, and waits until it is on the disk.
    pub fn write(path: &Path, secret: &str) -> io::Result<Self> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let written = Self { path: path.to_owned(), is_kept: false };
        file.write_all(format!("{secret}\n").as_bytes())?;
        file.sync_all()?;
        Ok(written)
    }

    /// Keeps the file.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}
