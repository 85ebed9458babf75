//! Whether etcd can write a new member's data to a disk.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{StatVfs, StatVfsMountFlags, statvfs},
    io::Errno,
};

/// The free space that etcd needs to start as a new member: a preallocated WAL segment of 64 MB
/// (`server/storage/wal/wal.go:SegmentSizeBytes`), and a little for its database.
const NEEDED_MIB: u64 = 72;

const MIB: u64 = 1024 * 1024;

/// Why a disk can't take a new member's data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The filesystem can't be written to.
    #[error("the filesystem of {} is mounted read-only; mount it writable, or use another directory", .path.display())]
    ReadOnly {
        /// etcd's directory on it.
        path: PathBuf,
    },
    /// The filesystem is full, or too small.
    #[error(
        "the filesystem of {} has {free_mib} MiB of free space, and etcd needs {NEEDED_MIB} MiB to start; free some space, or use \
         another directory", .path.display()
    )]
    Full {
        /// etcd's directory on it.
        path: PathBuf,
        /// What etcd's user may still write, in MiB.
        free_mib: u64,
    },
}

/// Checks the filesystem that a directory is on, or would be on. What the operating system does not tell is no reason to fail.
pub fn check(directory: &Path) -> Result<(), NoRoom> {
    match filesystem_of(directory) {
        Some(filesystem) => check_filesystem(directory, &filesystem),
        None => Ok(()),
    }
}

/// Whether the filesystem of a directory is mounted read-only.
pub fn is_read_only(directory: &Path) -> bool {
    filesystem_of(directory).is_some_and(|filesystem| filesystem.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The filesystem of the nearest existing ancestor. Links are followed.
fn filesystem_of(directory: &Path) -> Option<StatVfs> {
    let mut found = directory.ancestors().map(statvfs);
    found.find(|found| !matches!(found, Err(Errno::NOENT)))?.ok()
}

fn check_filesystem(directory: &Path, filesystem: &StatVfs) -> Result<(), NoRoom> {
    let path = || directory.to_owned();
    if filesystem.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(NoRoom::ReadOnly { path: path() });
    }
    // A filesystem without a limit, such as the root of an initramfs, has no blocks.
    let free_mib = filesystem.f_bavail.saturating_mul(filesystem.f_frsize) / MIB;
    if filesystem.f_blocks > 0 && free_mib < NEEDED_MIB {
        return Err(NoRoom::Full { path: path(), free_mib });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filesystem of 1 GiB with this many MiB for every user, and some more for root.
    fn filesystem(free_mib: u64, flags: StatVfsMountFlags) -> StatVfs {
        let blocks = |mib: u64| mib * MIB / 4096;
        StatVfs {
            f_frsize: 4096,
            f_blocks: blocks(1024),
            f_bfree: blocks(free_mib + 50),
            f_bavail: blocks(free_mib),
            f_flag: flags,
            ..statvfs("/").unwrap()
        }
    }

    #[test]
    fn a_wal_segment_has_to_fit_into_the_space_that_is_free_for_users() {
        let directory = Path::new("/var/lib/etcd");
        let checked = |free_mib| check_filesystem(directory, &filesystem(free_mib, StatVfsMountFlags::NOATIME));
        assert_eq!(checked(NEEDED_MIB), Ok(()));
        assert_eq!(
            checked(NEEDED_MIB - 1).unwrap_err().to_string(),
            "the filesystem of /var/lib/etcd has 71 MiB of free space, and etcd needs 72 MiB to start; free some space, or use \
             another directory"
        );
    }

    #[test]
    fn a_filesystem_without_a_limit_has_room() {
        let unlimited = StatVfs { f_blocks: 0, ..filesystem(0, StatVfsMountFlags::empty()) };
        assert_eq!(check_filesystem(Path::new("/"), &unlimited), Ok(()));
    }

    #[test]
    fn a_read_only_filesystem_has_no_room() {
        let read_only = filesystem(500, StatVfsMountFlags::RDONLY | StatVfsMountFlags::NOATIME);
        let error = check_filesystem(Path::new("/var/lib/etcd"), &read_only).unwrap_err();
        assert_eq!(error, NoRoom::ReadOnly { path: "/var/lib/etcd".into() });
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_is_on_the_filesystem_of_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        // The proc filesystem has no blocks of its own, unlike that of the link.
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        let blocks = |path: &Path| filesystem_of(path).unwrap().f_blocks;
        assert_eq!(blocks(&link.join("infra0.etcd/member/wal")), 0);
        assert_eq!(blocks(&directory.path().join("infra0.etcd/member/wal")), blocks(directory.path()));
        assert_ne!(blocks(directory.path()), 0);
    }
}
