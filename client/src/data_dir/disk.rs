//! Which disk a directory is on.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use convene_lifecycle::DiskId;

/// Identifies the mount that a directory is on, or would be on, and the path on it. `None` if the operating system does not tell.
///
/// A mount is known by its root directory's inode and time of creation. So a bind mount of another directory, a new filesystem on
/// the same device, and the directory below a missing mount are other disks. The device counts only if the filesystem records no
/// time of creation: its name may change at any boot.
pub fn id_of(directory: &Path) -> Option<DiskId> {
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let path = resolve(directory)?;
    let mount = mount_of(&path, &mounts)?;
    let root = fs::metadata(&mount.point).ok()?;
    let created = root.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
    let device = if created.is_zero() { mount.source.as_bytes() } else { b"" };
    let inside = path.strip_prefix(&mount.point).ok()?;
    Some(DiskId::from_parts([
        device,
        &root.ino().to_be_bytes(),
        &created.as_nanos().to_be_bytes(),
        inside.as_os_str().as_bytes(),
    ]))
}

/// The absolute path without links. The last parts may be missing.
fn resolve(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|existing| {
        let missing = absolute.strip_prefix(existing).ok()?;
        // Joining nothing would append a slash.
        let resolved = fs::canonicalize(existing).ok()?;
        Some(resolved.join(missing).components().collect())
    })
}

/// A line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
struct Mount {
    point: PathBuf,
    source: OsString,
}

/// The innermost mount that a path is on. Of several at one place, the last one counts.
fn mount_of(path: &Path, mounts: &[u8]) -> Option<Mount> {
    let mounts = mounts.split(|byte| *byte == b'\n').filter_map(parse);
    mounts.filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.as_os_str().len())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = PathBuf::from(unescape(fields.nth(4)?));
    // Optional fields end with a hyphen. The type and the source follow.
    let source = fields.skip_while(|field| *field != b"-").nth(2)?;
    Some(Mount { point, source: OsStr::from_bytes(source).to_owned() })
}

/// The kernel writes spaces, tabs, line ends and backslashes as `\` and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| byte == b'\\') {
            Some(escaped) => {
                text.push(escaped);
                rest = &after[3..];
            }
            None => {
                text.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"25 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
        31 25 254:16 /volumes/a /var/lib/etcd rw,noatime shared:1 master:2 - ext4 /dev/vdb rw\n\
        32 25 0:40 / /mnt/two\\040words rw - tmpfs tmpfs rw\n\
        33 31 254:32 / /var/lib/etcd rw - xfs /dev/vdc rw\n";

    #[test]
    fn the_innermost_and_latest_mount_counts() {
        let source = |path: &str| mount_of(Path::new(path), MOUNTS).map(|mount| mount.source);
        assert_eq!(source("/var/lib/other").unwrap(), "/dev/vda1");
        assert_eq!(source("/var/lib/etcd-2/member/wal").unwrap(), "/dev/vda1");
        assert_eq!(source("/var/lib/etcd/member/wal").unwrap(), "/dev/vdc");
        assert_eq!(source("/mnt/two words/etcd").unwrap(), "tmpfs");
        assert!(mount_of(Path::new("/"), b"").is_none());
    }

    #[test]
    fn a_directory_that_etcd_creates_does_not_change_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let wal = directory.path().join("infra0.etcd/member/wal");
        let before = id_of(&wal).expect("a disk");
        fs::create_dir_all(&wal).unwrap();
        assert_eq!(id_of(&wal), Some(before.clone()));
        assert_ne!(id_of(&directory.path().join("infra1.etcd/member/wal")), Some(before));
    }

    #[test]
    fn a_link_does_not_change_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(id_of(&link.join("member/wal")), id_of(&target.join("member/wal")));
    }
}
