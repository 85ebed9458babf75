//! The directory in which `convene` keeps what belongs to one data directory of etcd: its locks, and secrets of the node.
//!
//! It belongs to the user of the data directory and has the mode 0700, so that no other user can take or block a lock, or read
//! a secret. Its path is
//!
//! - `PARENT/.NAME.convene`, next to the data directory `PARENT/NAME`: archiving renames the data directory, and this one stays;
//! - `DATA_DIR/.convene`, if the data directory itself always stays: it is a mount point or a link, or its parent belongs to
//!   another user or can't be written. So the files stay on the disk of the data. etcd ignores other names in its data directory
//!   (`server/etcdmain/etcd.go:identifyDataDirOrDie`, the same from 3.4 to 3.7).
//!
//! A directory that exists at one of these paths is used again, so that the path does not change once the data exists.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, StatxAttributes, StatxFlags, Uid},
    io::Errno,
};
use thiserror::Error;

/// The open directory. A path could lead elsewhere in the next moment.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    directory: OwnedFd,
    owner: Owner,
}

/// Who owns the directory and the files in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

/// Why the directory, or a file in it, can't be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Another user has created it.
    #[error(
        "{path} belongs to user ID {found}, not to user ID {expected}. User {found} could block `convene`, or read its \
         secrets. Move {path} away, or use a data directory whose parent no other user can write to"
    )]
    Foreign {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// The user that should own it.
        expected: u32,
    },
    /// Something else has its name.
    #[error("{path} is not a {expected}; move it away")]
    OtherType {
        /// The path.
        path: PathBuf,
        /// `directory` or `regular file`.
        expected: &'static str,
    },
    /// The filesystem is mounted read-only.
    #[error(
        "cannot create {path}: the filesystem is mounted read-only; mount it writable, or use another data directory"
    )]
    ReadOnly {
        /// What would be created.
        path: PathBuf,
    },
    /// The operating system failed.
    #[error("cannot {action} {path}: {source}")]
    Failed {
        /// The operation.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl StateDir {
    /// Opens the directory of a data directory, and creates it first if it is missing. The data directory may be missing.
    pub fn open(data_dir: &Path) -> Result<Self, StateDirError> {
        Self::open_as(data_dir, rustix::process::geteuid().as_raw())
    }

    /// Opens the directory of a data directory. `None` if there is none yet.
    pub fn open_existing(data_dir: &Path) -> Result<Option<Self>, StateDirError> {
        let user = rustix::process::geteuid().as_raw();
        match fs::symlink_metadata(location(data_dir, user)) {
            Ok(_) => Self::open_as(data_dir, user).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn open_as(data_dir: &Path, user: u32) -> Result<Self, StateDirError> {
        let path = location(data_dir, user);
        let (parent_path, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => return Err(failed("use", &path, Errno::INVAL)),
        };
        // etcd creates missing directories with this mode, too (`client/pkg/fileutil/fileutil.go:PrivateDirMode`).
        DirBuilder::new().recursive(true).mode(0o700).create(parent_path).map_err(|source| match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => StateDirError::ReadOnly { path: parent_path.to_owned() },
            _ => StateDirError::Failed { action: "create", path: parent_path.to_owned(), source },
        })?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let parent = rustix::fs::openat(CWD, parent_path, flags, Mode::empty());
        let parent = parent.map_err(|error| failed("open", parent_path, error))?;
        let is_new = match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(Errno::ROFS) => return Err(StateDirError::ReadOnly { path }),
            Err(error) => return Err(failed("create", &path, error)),
        };
        let directory = match rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(StateDirError::OtherType { path, expected: "directory" }),
            // Only the owner may open it.
            Err(Errno::ACCESS) => return Err(foreign_or_denied(path, user)),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let owner = owner_for(data_dir, user);
        if is_new {
            give_to(&directory, owner, user).map_err(|error| failed("change the owner of", &path, error))?;
        }
        let found = rustix::fs::fstat(&directory).map_err(|error| failed("inspect", &path, error))?;
        // Root may have worked here before etcd's user did.
        if found.st_uid != user && (user != 0 || found.st_uid != owner.user) {
            return Err(StateDirError::Foreign { path, found: found.st_uid, expected: user });
        }
        // Some volumes get the rights of a group when they are mounted.
        if found.st_mode & 0o077 != 0 {
            match rustix::fs::fchmod(&directory, Mode::RWXU) {
                // The files in it have a mode of their own.
                Ok(()) | Err(Errno::ROFS) => {}
                Err(error) => return Err(failed("change the mode of", &path, error)),
            }
        }
        let owner = Owner { user: found.st_uid, group: found.st_gid };
        Ok(Self { path, directory, owner })
    }

    /// The path of a file in it.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file for reading and writing, and creates it first if it is missing. It has the mode 0600. Links are not followed.
    pub fn file(&self, name: &str) -> Result<File, StateDirError> {
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE)?;
        let user = rustix::process::geteuid().as_raw();
        give_to(&file, self.owner, user).map_err(|error| failed("change the owner of", &self.path_of(name), error))?;
        Ok(file.into())
    }

    /// Opens a file for reading alone, which a filesystem that is mounted read-only allows as well. `None` if it is missing.
    pub fn existing_file(&self, name: &str) -> Result<Option<File>, StateDirError> {
        match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => Ok(Some(file.into())),
            Err(StateDirError::Failed { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_file(&self, name: &str, access: OFlags) -> Result<OwnedFd, StateDirError> {
        let path = self.path_of(name);
        // Opening a pipe would block.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                return Err(StateDirError::OtherType { path, expected: "regular file" });
            }
            Err(Errno::ROFS) => return Err(StateDirError::ReadOnly { path }),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let found = rustix::fs::fstat(&file).map_err(|error| failed("inspect", &path, error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(StateDirError::OtherType { path, expected: "regular file" });
        }
        let user = rustix::process::geteuid().as_raw();
        if found.st_uid != user && found.st_uid != self.owner.user {
            return Err(StateDirError::Foreign { path, found: found.st_uid, expected: self.owner.user });
        }
        Ok(file)
    }
}

/// Where the directory is, or would be created by this user.
fn location(data_dir: &Path, user: u32) -> PathBuf {
    let inside = data_dir.join(".convene");
    let (Some(parent), Some(name)) = (data_dir.parent(), data_dir.file_name()) else { return inside };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".convene");
    let beside = parent.join(hidden);

    if is_link_or_mount_point(data_dir) {
        return inside;
    }
    if fs::symlink_metadata(&beside).is_ok() {
        return beside;
    }
    if fs::symlink_metadata(&inside).is_ok() {
        return inside;
    }
    let Ok(data) = fs::metadata(data_dir) else { return beside };
    let has_other_owner = fs::metadata(parent).is_ok_and(|parent| parent.uid() != data.uid());
    let is_writable = user == 0 || rustix::fs::accessat(CWD, parent, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    if has_other_owner || !is_writable { inside } else { beside }
}

fn is_link_or_mount_point(data_dir: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(data_dir) else { return false };
    let above = data_dir.parent().and_then(|parent| fs::metadata(parent).ok());
    // A bind mount of the same filesystem has the device of its parent. Linux before 5.8 does not tell that it is one.
    let is_mount_root = || {
        let found = rustix::fs::statx(CWD, data_dir, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
        found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    found.is_symlink() || above.is_some_and(|above| above.dev() != found.dev()) || is_mount_root()
}

/// Who should own the directory: this user, or for root the owner of the data, whom etcd runs as.
fn owner_for(data_dir: &Path, user: u32) -> Owner {
    match fs::metadata(data_dir) {
        Ok(data) if user == 0 => Owner { user: data.uid(), group: data.gid() },
        _ => Owner { user, group: rustix::process::getegid().as_raw() },
    }
}

/// Gives what root has created to the owner of the data.
fn give_to(file: &OwnedFd, owner: Owner, user: u32) -> Result<(), Errno> {
    if user != 0 || owner.user == 0 {
        return Ok(());
    }
    rustix::fs::fchown(file, Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)))
}

/// The error for a directory that this user may not open.
fn foreign_or_denied(path: PathBuf, user: u32) -> StateDirError {
    match fs::symlink_metadata(&path) {
        Ok(found) if found.uid() != user => StateDirError::Foreign { path, found: found.uid(), expected: user },
        _ => failed("open", &path, Errno::ACCESS),
    }
}

fn failed(action: &'static str, path: &Path, error: Errno) -> StateDirError {
    StateDirError::Failed { action, path: path.to_owned(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn it_is_beside_the_data_directory_and_only_its_owner_may_enter() {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = temporary.path().join("missing/infra0.etcd");
        let state_dir = StateDir::open(&data_dir).unwrap();
        let path = temporary.path().join("missing/.infra0.etcd.convene");
        assert_eq!(state_dir.path_of("lock"), path.join("lock"));
        state_dir.file("lock").unwrap();
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
        // It is the same once the data exists, and gets its mode back.
        fs::create_dir(&data_dir).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2770)).unwrap();
        assert_eq!(StateDir::open(&data_dir).unwrap().path_of(""), path.join(""));
        assert_eq!(mode(&path) & 0o777, 0o700);
    }

    #[test]
    fn it_is_inside_a_data_directory_that_always_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, link) = (temporary.path().join("disk"), temporary.path().join("data"));
        fs::create_dir(&disk).unwrap();
        symlink(&disk, &link).unwrap();
        StateDir::open(&link).unwrap();
        assert_eq!(mode(&disk.join(".convene")), 0o700);
        assert!(!temporary.path().join(".data.convene").exists());
        // No archive can move a mount point either.
        assert_eq!(location(Path::new("/proc"), 1), Path::new("/proc/.convene"));
        assert_eq!(location(Path::new("/"), 1), Path::new("/.convene"));
    }

    #[test]
    fn the_directory_inside_is_kept_once_it_exists() {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = temporary.path().join("data");
        fs::create_dir_all(data_dir.join(".convene")).unwrap();
        assert_eq!(location(&data_dir, 0), data_dir.join(".convene"));
    }

    #[test]
    fn what_another_user_has_prepared_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = temporary.path().join("data");
        let path = temporary.path().join(".data.convene");
        let error = || StateDir::open(&data_dir).unwrap_err().to_string();
        let elsewhere = temporary.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert_eq!(error(), format!("{} is not a directory; move it away", path.display()));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(error(), format!("{} is not a directory; move it away", path.display()));
        fs::remove_file(&path).unwrap();

        // A directory of this user is a foreign one for every other user.
        fs::create_dir(&path).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let foreign = StateDir::open_as(&data_dir, own + 1).unwrap_err();
        assert!(matches!(foreign, StateDirError::Foreign { found, .. } if found == own), "{foreign}");
        assert!(foreign.to_string().starts_with(&format!("{} belongs to user ID {own}", path.display())), "{foreign}");
    }

    #[test]
    fn a_file_that_is_read_is_neither_created_nor_writable() {
        let temporary = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(&temporary.path().join("data")).unwrap();
        assert!(state_dir.existing_file("secret").unwrap().is_none());
        assert!(!state_dir.path_of("secret").exists());
        state_dir.file("secret").unwrap().write_all(b"one").unwrap();
        let mut file = state_dir.existing_file("secret").unwrap().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert!(text == "one" && file.write_all(b"two").is_err(), "{text}");
    }

    #[test]
    fn a_file_in_it_is_no_link_and_no_pipe() {
        let temporary = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(&temporary.path().join("data")).unwrap();
        let target = temporary.path().join("target");
        symlink(&target, state_dir.path_of("link")).unwrap();
        fs::create_dir(state_dir.path_of("directory")).unwrap();
        for name in ["link", "directory"] {
            for error in [state_dir.file(name).unwrap_err(), state_dir.existing_file(name).unwrap_err()] {
                assert!(matches!(error, StateDirError::OtherType { .. }), "{error}");
            }
        }
        assert!(!target.exists());
    }
}
