//! What etcd has left on this node's disk: whose data it is, whether an etcd runs on it, and how it is
//! set aside.
//!
//! Here a wrong verdict costs data. To take a member's data for none makes a node join anew with what it
//! had before; so everything that is not surely absent and not surely good is [`Contents::Unreadable`].

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

/// Where an etcd keeps its data: its `--data-dir`, and its `--wal-dir` if it has one.
#[derive(Clone, Debug)]
pub struct DataDir {
    data_dir: PathBuf,
    wal_dir: PathBuf,
}

/// What a data directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// No WAL, so that etcd would start here as a new member. There may be [left-overs](DataDir::leftover).
    Fresh,
    /// A member's data.
    Member(Identity),
    /// There is a WAL, and it does not say whose it is.
    Unreadable {
        /// What was found and where, for people.
        found: String,
    },
}

impl DataDir {
    /// The directories that etcd is given as `--data-dir` and `--wal-dir`.
    pub fn new(data_dir: PathBuf, wal_dir: Option<PathBuf>) -> Self {
        // `/var/lib/etcd/` becomes `/var/lib/etcd`: with the slash, a link would be followed before it is seen.
        let tidy = |path: PathBuf| path.components().collect::<PathBuf>();
        let data_dir = tidy(data_dir);
        let wal_dir = wal_dir.map_or_else(|| data_dir.join("member/wal"), tidy);
        Self { data_dir, wal_dir }
    }

    /// Whose data there is.
    ///
    /// An error means that it could not be found out, and says nothing about the data.
    pub fn read(&self) -> Result<Contents, DataDirError> {
        wal::read(&self.wal_dir)
    }

    /// What a data directory without a WAL still holds.
    ///
    /// etcd does not ask: it opens `member/snap/db` before it looks at the cluster, and takes what is in there
    /// into the new member (`server/etcdserver/bootstrap.go:bootstrap`). Where there is a WAL, this says
    /// nothing of use.
    pub fn leftover(&self) -> Result<Leftover, DataDirError> {
        leftover::find(&self.snap_dir())
    }

    /// Sets the data aside by renaming it, and says where it is now; nothing if there was nothing.
    pub fn archive(&self, at: SystemTime) -> Result<Vec<PathBuf>, DataDirError> {
        if self.is_in_use()? {
            return Err(DataDirError::InUse { path: self.data_dir.clone() });
        }
        archive::archive(&self.data_dir, &self.wal_dir, at)
    }

    /// Whether an etcd has the data open right now.
    ///
    /// etcd holds an exclusive flock on its database as long as it runs (`bolt_unix.go:flock` in bbolt). A shared
    /// lock is refused then just as an exclusive one is; but it does not make two who ask at once take each other for
    /// an etcd, and over NFS it needs no more than the permission to read. An etcd that starts while it is
    /// held tries again after 50 ms.
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
