//! etcd's data directory: which member's data it has, whether etcd runs on it, and how it is archived.
//!
//! A wrong verdict here costs data. If a member's data were taken for absent, the node would join again under a new ID.
//! So everything that is neither certainly absent nor certainly valid is [`Contents::Unreadable`].

mod archive;
mod backend;
mod disk;
mod error;
mod files;
mod leftover;
mod page;
mod records;
pub mod room;
mod segment;
mod wal;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::SystemTime,
};

use convene_lifecycle::{DiskId, Identity};

pub use self::backend::KnownMember;
pub use self::error::DataDirError;
pub use self::leftover::Leftover;
pub use self::room::NoRoom;

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

/// What the data of a member shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The index of the last entry in the WAL, if it is known.
    pub last_index: Option<u64>,
    /// Whether the WAL certainly has no entry of a leader: etcd has acknowledged nothing on this data.
    pub never_led: bool,
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

    /// Reads what the data shows beyond its member, for evidence. What can't be read is unknown.
    pub fn evidence(&self) -> Evidence {
        let unknown = Evidence { last_index: None, never_led: false };
        let Ok(Some(end)) = wal::end(&self.wal_dir) else { return unknown };
        // A restored snapshot has keys although its WAL looks like that of a founder.
        let never_led = end.never_led && matches!(self.is_without_keys(), Ok(true));
        Evidence { last_index: Some(end.last_index), never_led }
    }

    /// The members of the cluster as of the last entry that was applied here; none if they can't be read.
    pub fn members(&self) -> Vec<KnownMember> {
        let path = self.database();
        if !matches!(files::is_file(&path), Ok(true)) {
            return Vec::new();
        }
        backend::members(&path).unwrap_or_default()
    }

    fn is_without_keys(&self) -> Result<bool, files::ReadError> {
        backend::is_without_keys(&self.database())
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

    /// The archives that [`archive`](Self::archive) has left here, each with the member whose data it is. An archive that can't
    /// be read is left out.
    pub fn archived(&self) -> Vec<(PathBuf, Identity)> {
        archive::archived(&self.data_dir, &self.wal_dir)
    }

    /// Whether an etcd runs on the data.
    ///
    /// etcd holds an exclusive flock on its database as long as it runs (`bolt_unix.go:flock` in bbolt), so a shared lock
    /// is refused. Unlike an exclusive lock, a shared one does not make two concurrent callers take each other for an
    /// etcd, and needs only read permission over NFS. An etcd that starts in this moment retries after 50 ms.
    pub fn is_in_use(&self) -> Result<bool, DataDirError> {
        let path = self.database();
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

    /// Identifies the disk that the WAL is on, or would be on. `None` if the operating system does not tell.
    pub fn disk(&self) -> Option<DiskId> {
        disk::id_of(&self.wal_dir)
    }

    /// Checks that etcd could write a new member's data here: the filesystems of the directories are writable and have space.
    pub fn check_room(&self) -> Result<(), NoRoom> {
        room::check(&self.data_dir)?;
        room::check(&self.wal_dir)
    }

    pub fn database(&self) -> PathBuf {
        self.snap_dir().join("db")
    }

    /// The directory of the log.
    pub fn wal_dir(&self) -> &Path {
        &self.wal_dir
    }

    fn snap_dir(&self) -> PathBuf {
        self.data_dir.join("member/snap")
    }
}
