//! Data directories that a healthy etcd does not leave behind.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use convene_lifecycle::{ClusterId, MemberId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{segment::tests::head, *};

pub const IDENTITY: Identity = Identity { member: MemberId(0x8e9e_05c5_2164_694d), cluster: ClusterId(0xcdf8) };

/// Writes the head of a WAL segment.
pub fn write_segment(wal_dir: &Path, sequence: u64, identity: Identity) {
    fs::create_dir_all(wal_dir).unwrap();
    let name = format!("{sequence:016x}-{:016x}.wal", sequence * 1000);
    fs::write(wal_dir.join(name), head(sequence as u32, identity)).unwrap();
}

/// A data directory that does not exist yet.
fn missing() -> (TempDir, DataDir) {
    let temporary = tempfile::tempdir().unwrap();
    let data_dir = DataDir::new(temporary.path().join("data"), None);
    (temporary, data_dir)
}

/// The problem with an unreadable directory; it must contain this text.
fn problem(contents: Contents, text: &str) -> String {
    match contents {
        Contents::Unreadable { found } if found.contains(text) => found,
        contents => panic!("{text} is missing in {contents:?}"),
    }
}

#[test]
fn a_directory_without_a_wal_is_fresh() {
    let (_temporary, data_dir) = missing();
    let member = data_dir.data_dir.join("member");
    assert_eq!(data_dir.read().unwrap(), Contents::Fresh, "missing");
    for directory in [&data_dir.data_dir, &member, &member.join("snap"), &data_dir.wal_dir] {
        fs::create_dir(directory).unwrap();
        assert_eq!(data_dir.read().unwrap(), Contents::Fresh, "empty {}", directory.display());
        assert_eq!(data_dir.leftover().unwrap(), Leftover::None);
    }
    write_segment(&member.join("wal.tmp"), 0, IDENTITY);
    fs::write(data_dir.wal_dir.join("0.tmp"), "the next segment").unwrap();
    fs::write(data_dir.wal_dir.join("0000000000000000-0000000000000000.wal.broken"), "repaired").unwrap();
    assert_eq!(data_dir.read().unwrap(), Contents::Fresh, "prepared only");
}

#[test]
fn consecutive_segments_may_begin_anywhere() {
    for first in [0, 1, 9, 0xffff_ffff] {
        let (_temporary, data_dir) = missing();
        for sequence in first..first + 3 {
            write_segment(&data_dir.wal_dir, sequence, IDENTITY);
            assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY));
        }
        fs::write(data_dir.wal_dir.join("copy.wal"), "etcd ignores this").unwrap();
        assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY));
    }
}

#[test]
fn a_missing_segment_makes_a_wal_unreadable() {
    for present in [[0, 2], [1, 3], [0xf, 0x11]] {
        let (_temporary, data_dir) = missing();
        for sequence in present {
            write_segment(&data_dir.wal_dir, sequence, IDENTITY);
        }
        problem(data_dir.read().unwrap(), &format!("{:016x}-", present[1]));
    }
}

#[test]
fn segments_of_two_members_are_unreadable() {
    let (_temporary, data_dir) = missing();
    write_segment(&data_dir.wal_dir, 0, IDENTITY);
    for other in [Identity { member: MemberId(1), ..IDENTITY }, Identity { cluster: ClusterId(1), ..IDENTITY }] {
        write_segment(&data_dir.wal_dir, 1, other);
        assert!(problem(data_dir.read().unwrap(), "0000000000000001-").contains("8e9e05c52164694d"));
    }
}

#[test]
fn a_damaged_further_segment_makes_a_wal_unreadable() {
    let (_temporary, data_dir) = missing();
    write_segment(&data_dir.wal_dir, 0, IDENTITY);
    let further = data_dir.wal_dir.join("0000000000000001-0000000000000005.wal");
    for content in ["", "garbage", "0123456789abcdef0123456789abcdef"] {
        fs::write(&further, content).unwrap();
        problem(data_dir.read().unwrap(), "0000000000000001-0000000000000005.wal");
    }
}

#[test]
fn a_wal_with_an_odd_name_or_that_is_not_a_file_is_unreadable() {
    for name in [".wal", "a.wal", "0-0.wal", "+000000000000000-0000000000000000.wal", "0000000000000000.wal"] {
        let (_temporary, data_dir) = missing();
        fs::create_dir_all(&data_dir.wal_dir).unwrap();
        fs::write(data_dir.wal_dir.join(name), head(0, IDENTITY)).unwrap();
        problem(data_dir.read().unwrap(), name);
    }
    let (_temporary, data_dir) = missing();
    fs::create_dir_all(data_dir.wal_dir.join("0000000000000000-0000000000000000.wal")).unwrap();
    problem(data_dir.read().unwrap(), "is not a file");
}

#[test]
fn a_file_where_a_directory_should_be_is_unreadable() {
    for file in ["", "member", "member/wal"] {
        let (_temporary, data_dir) = missing();
        let file = data_dir.data_dir.join(file).components().collect::<PathBuf>();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        problem(data_dir.read().unwrap(), "not a directory");
        assert!(!data_dir.is_in_use().unwrap());
        if file != data_dir.wal_dir {
            assert!(matches!(data_dir.leftover().unwrap(), Leftover::Unreadable { .. }));
        }
    }
}

#[test]
fn a_link_to_a_disk_that_is_not_mounted_is_not_fresh() {
    for link in ["data", "data/member", "data/member/wal"] {
        let (temporary, data_dir) = missing();
        let link = temporary.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(temporary.path().join("disk/etcd"), &link).unwrap();
        let error = data_dir.read().unwrap_err();
        assert!(matches!(&error, DataDirError::BrokenLink { link: named, .. } if *named == link), "{error}");
        assert!(error.to_string().contains("mount the disk"));
        fs::create_dir_all(temporary.path().join("disk/etcd")).unwrap();
        assert_eq!(data_dir.read().unwrap(), Contents::Fresh);
    }
}

#[test]
fn a_wal_behind_a_link_is_read() {
    let (temporary, data_dir) = missing();
    write_segment(&temporary.path().join("ssd"), 0, IDENTITY);
    fs::create_dir_all(data_dir.data_dir.join("member")).unwrap();
    symlink("../../ssd", &data_dir.wal_dir).unwrap();
    assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY));
}

#[test]
fn snapshots_count_as_a_leftover_too() {
    let cases = [
        ("0000000000000002-000000000000000a.snap", Leftover::Applied { index: 10 }),
        ("000000000000000c.snap.db", Leftover::Applied { index: 12 }),
        ("tmp123", Leftover::None),
        ("0000000000000002-000000000000000a.snap.broken", Leftover::None),
        ("db", Leftover::NothingApplied),
    ];
    for (name, expected) in cases {
        let (_temporary, data_dir) = missing();
        fs::create_dir_all(data_dir.snap_dir()).unwrap();
        fs::write(data_dir.snap_dir().join(name), "").unwrap();
        assert_eq!(data_dir.leftover().unwrap(), expected, "{name}");
    }
    for (name, content) in [("db", "garbage"), ("latest.snap", "")] {
        let (_temporary, data_dir) = missing();
        fs::create_dir_all(data_dir.snap_dir()).unwrap();
        fs::write(data_dir.snap_dir().join(name), content).unwrap();
        assert!(matches!(data_dir.leftover().unwrap(), Leftover::Unreadable { found } if found.contains(name)));
    }
}

/// Root may read everything, so this runs as another user.
#[test]
fn a_denied_permission_is_an_error_and_not_fresh() {
    super::privileges::without(module_path!(), "a_denied_permission_is_an_error_and_not_fresh", || {
        let (_temporary, data_dir) = missing();
        write_segment(&data_dir.wal_dir, 0, IDENTITY);
        let segment = data_dir.wal_dir.join("0000000000000000-0000000000000000.wal");
        let member = data_dir.data_dir.join("member");
        for (forbidden, readable) in [(segment, 0o600), (data_dir.wal_dir.clone(), 0o700), (member, 0o700)] {
            fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).unwrap();
            let error = data_dir.read().unwrap_err().to_string();
            assert!(error.contains("as the user that etcd runs as"), "{error}");
            fs::set_permissions(&forbidden, fs::Permissions::from_mode(readable)).unwrap();
        }
        assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY));
    });
}

proptest! {
    #[test]
    fn garbage_is_unreadable_and_never_fresh(
        garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 1..4),
    ) {
        let (_temporary, data_dir) = missing();
        fs::create_dir_all(&data_dir.wal_dir).unwrap();
        fs::create_dir_all(data_dir.snap_dir()).unwrap();
        for (sequence, bytes) in garbage.iter().enumerate() {
            fs::write(data_dir.wal_dir.join(format!("{sequence:016x}-{sequence:016x}.wal")), bytes).unwrap();
            fs::write(data_dir.snap_dir().join("db"), bytes).unwrap();
        }
        let unreadable = matches!(data_dir.read().unwrap(), Contents::Unreadable { .. });
        prop_assert!(unreadable);
        let unreadable = matches!(data_dir.leftover().unwrap(), Leftover::Unreadable { .. });
        prop_assert!(unreadable || garbage.last().unwrap().is_empty());
    }
}
