//! etcd's data directory: which member's data it has, whether etcd runs on it, and how it is archived.
//!
//! A wrong verdict here costs data. If a member's data were taken for absent, the node would join again under a new ID.
//! So everything that is neither certainly absent nor certainly valid is [`Contents::Unreadable`].

mod archive;
mod backend;
mod error;
mod files;
mod leftover;
mod page;
mod segment;
mod wal;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
    time::SystemTime,
};

use convene_lifecycle::Identity;

pub use self::error::DataDirError;
pub use self::leftover::Leftover;

/// The directories of an etcd: `--data-dir` and `--wal-dir`.
#[derive(Clone, Debug)]
pub struct DataDir {
    data_dir: PathBuf,
    wal_dir: PathBuf,
}

/// The contents of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// There is no WAL: etcd would start here as a new member. There may be a [`leftover`](DataDir::leftover).
    Fresh,
    /// The data of a member.
    Member(Identity),
    /// There is a WAL, but its member cannot be determined.
    Unreadable {
        /// What is wrong, and in which file.
        found: String,
    },
}

impl DataDir {
    /// The directories that etcd gets as `--data-dir` and `--wal-dir`.
    pub fn new(data_dir: PathBuf, wal_dir: Option<PathBuf>) -> Self {
        // `/var/lib/etcd/` becomes `/var/lib/etcd`: with the slash, the kernel would follow a link.
        let tidy = |path: PathBuf| path.components().collect::<PathBuf>();
        let data_dir = tidy(data_dir);
        let wal_dir = wal_dir.map_or_else(|| data_dir.join("member/wal"), tidy);
        Self { data_dir, wal_dir }
    }

    /// Reads which member's data the directory has.
    ///
    /// An error means that the operating system failed, and implies nothing about the data.
    pub fn read(&self) -> Result<Contents, DataDirError> {
        wal::read(&self.wal_dir)
    }

    /// Reads which database a data directory without a WAL has. The result means nothing if there is a WAL.
    ///
    /// etcd opens `member/snap/db` before it contacts the cluster, and takes the keys in it over into the new member
    /// (`server/etcdserver/bootstrap.go:bootstrap`).
    pub fn leftover(&self) -> Result<Leftover, DataDirError> {
        leftover::find(&self.snap_dir())
    }

    /// Sets the data aside by renaming it, and returns the new paths. Returns no paths if there was no data.
    pub fn archive(&self, at: SystemTime) -> Result<Vec<PathBuf>, DataDirError> {
        if self.is_in_use()? {
            return Err(DataDirError::InUse { path: self.data_dir.clone() });
        }
        archive::archive(&self.data_dir, &self.wal_dir, at)
    }

    /// Whether an etcd runs on the data.
    ///
    /// etcd holds an exclusive flock on its database as long as it runs (`bolt_unix.go:flock` in bbolt), so a shared lock
    /// is refused. Unlike an exclusive lock, a shared one does not make two concurrent callers take each other for an
    /// etcd, and needs only read permission over NFS. An etcd that starts in this moment retries after 50 ms.
    pub fn is_in_use(&self) -> Result<bool, DataDirError> {
        let path = self.snap_dir().join("db");
        if !files::is_file(&path)? {
            return Ok(false);
        }
        let db = File::open(&path).map_err(DataDirError::when("open", &path))?;
        // Closing the file releases the lock.
        match db.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(DataDirError::when("lock", &path)(error)),
        }
    }

    fn snap_dir(&self) -> PathBuf {
        self.data_dir.join("member/snap")
    }
}
