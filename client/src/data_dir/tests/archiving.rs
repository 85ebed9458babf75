//! An archive is complete, and etcd starts as if there had never been any data.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use convene_harness::etcd::Version;

use super::{
    super::*,
    layouts::{IDENTITY, write_segment},
    names, privileges,
    real_etcd::RealEtcd,
};

/// 2026-11-22T20:15:03Z.
fn archive_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_378_503)
}

/// A member's data directory at the path, with its WAL inside or in a directory of its own.
fn member_at(data_dir: &Path, wal_dir: Option<&Path>) -> DataDir {
    let data_dir = DataDir::new(data_dir.to_owned(), wal_dir.map(Path::to_owned));
    fs::create_dir_all(data_dir.snap_dir()).unwrap();
    fs::write(data_dir.snap_dir().join("db"), "a member's keys").unwrap();
    write_segment(&data_dir.wal_dir, 0, IDENTITY);
    data_dir
}

fn assert_archived(data_dir: &DataDir) {
    assert_eq!(data_dir.read().unwrap(), Contents::Fresh);
    assert_eq!(data_dir.leftover().unwrap(), Leftover::None);
    assert_eq!(data_dir.archive(archive_time()).unwrap(), Vec::<PathBuf>::new(), "there is no more data");
}

#[test]
fn a_data_directory_is_renamed_within_its_parent() {
    let temporary = tempfile::tempdir().unwrap();
    for expected in ["", "-2", "-3"].map(|number| format!("data.archived-2026-11-22T20-15-03Z{number}")) {
        let data_dir = member_at(&temporary.path().join("data/"), None);
        fs::set_permissions(&data_dir.data_dir, fs::Permissions::from_mode(0o700)).unwrap();
        let archived = temporary.path().join(expected);
        assert_eq!(data_dir.archive(archive_time()).unwrap(), std::slice::from_ref(&archived));
        assert!(!data_dir.data_dir.exists());
        assert_archived(&data_dir);
        assert_eq!(fs::metadata(&archived).unwrap().mode() & 0o777, 0o700);
        assert_eq!(DataDir::new(archived, None).read().unwrap(), Contents::Member(IDENTITY));
    }
}

#[test]
fn a_separate_wal_directory_is_renamed_too() {
    let temporary = tempfile::tempdir().unwrap();
    let (data, wal) = (temporary.path().join("data"), temporary.path().join("disk/wal"));
    let data_dir = member_at(&data, Some(&wal));
    let archived = data_dir.archive(archive_time()).unwrap();
    let names = ["data.archived-2026-11-22T20-15-03Z", "disk/wal.archived-2026-11-22T20-15-03Z"];
    assert_eq!(archived, names.map(|name| temporary.path().join(name)));
    assert_archived(&data_dir);
    assert_eq!(DataDir::new(data, Some(archived[1].clone())).read().unwrap(), Contents::Member(IDENTITY));
}

#[test]
fn a_wal_directory_inside_the_data_directory_moves_with_it() {
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("data");
    for wal in ["wal", "member/elsewhere"] {
        let data_dir = member_at(&data, Some(&data.join(wal)));
        let archived = data_dir.archive(archive_time()).unwrap();
        assert_eq!(archived.len(), 1);
        assert!(archived[0].join(wal).join("0000000000000000-0000000000000000.wal").exists());
        assert_archived(&data_dir);
    }
}

#[test]
fn archives_show_whose_data_they_are() {
    let temporary = tempfile::tempdir().unwrap();
    let (data, wal) = (temporary.path().join("data"), temporary.path().join("disk/wal"));
    let inside = data.join("elsewhere");
    for wal_dir in [None, Some(inside.as_path()), Some(&wal)] {
        let data_dir = member_at(&data, wal_dir);
        assert!(data_dir.archived().is_empty(), "its own data is no archive");
        let archived = data_dir.archive(archive_time()).unwrap();
        assert_eq!(data_dir.archived(), [(archived.last().unwrap().clone(), IDENTITY)]);
        for path in archived {
            fs::remove_dir_all(path).unwrap();
        }
    }
    // A link stays, and what it leads to is renamed.
    let target = temporary.path().join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, &data).unwrap();
    let data_dir = member_at(&data, None);
    let archived = data_dir.archive(archive_time()).unwrap();
    assert!(archived[0].starts_with(&data), "{archived:?}");
    assert_eq!(data_dir.archived(), [(archived[0].clone(), IDENTITY)]);
    // Damage implies nothing.
    fs::write(archived[0].join("wal/0000000000000000-0000000000000000.wal"), "").unwrap();
    assert!(data_dir.archived().is_empty());
}

#[test]
fn an_interrupted_archiving_is_completed_by_the_next_one() {
    let temporary = tempfile::tempdir().unwrap();
    let (data, wal) = (temporary.path().join("data"), temporary.path().join("wal"));
    let data_dir = member_at(&data, Some(&wal));
    fs::rename(&data, temporary.path().join("data.archived-2026-11-22T20-15-03Z")).unwrap();
    assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY), "the same verdict as before");
    assert_eq!(data_dir.archive(archive_time()).unwrap(), [temporary.path().join("wal.archived-2026-11-22T20-15-03Z")]);
    assert_archived(&data_dir);
}

#[test]
fn unreadable_data_is_renamed() {
    for file in ["data", "data/member", "data/member/wal", "data/member/wal/a.wal"] {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(temporary.path().join("data"), None);
        let file = temporary.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!(data_dir.archive(archive_time()).unwrap().len(), 1, "{}", file.display());
        assert_archived(&data_dir);
    }
}

#[test]
fn nothing_is_renamed_without_data() {
    let temporary = tempfile::tempdir().unwrap();
    let (data, wal) = (temporary.path().join("data"), temporary.path().join("wal"));
    let data_dir = DataDir::new(data.clone(), Some(wal.clone()));
    assert_archived(&data_dir);
    fs::create_dir(&data).unwrap();
    fs::create_dir(&wal).unwrap();
    assert_archived(&data_dir);
    assert_eq!(names(temporary.path()), ["data", "wal"]);
}

#[test]
fn a_link_and_its_target_stay_and_the_member_directory_is_renamed() {
    let temporary = tempfile::tempdir().unwrap();
    let (link, disk) = (temporary.path().join("data"), temporary.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    symlink("disk", &link).unwrap();
    let data_dir = member_at(&link, None);
    assert_eq!(data_dir.archive(archive_time()).unwrap(), [link.join("member.archived-2026-11-22T20-15-03Z")]);
    assert!(link.is_symlink());
    assert_eq!(names(&disk), ["member.archived-2026-11-22T20-15-03Z"]);
    assert_archived(&data_dir);
}

#[test]
fn a_link_to_the_wal_is_renamed_and_keeps_its_target() {
    let temporary = tempfile::tempdir().unwrap();
    let (wal, ssd) = (temporary.path().join("wal"), temporary.path().join("ssd"));
    fs::create_dir(&ssd).unwrap();
    symlink("ssd", &wal).unwrap();
    let data_dir = member_at(&temporary.path().join("data"), Some(&wal));
    let archived = data_dir.archive(archive_time()).unwrap();
    assert_eq!(names(&archived[1]), ["0000000000000000-0000000000000000.wal"]);
    assert_archived(&data_dir);
}

#[test]
fn a_data_directory_of_another_owner_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let data_dir = member_at(&temporary.path().join("data"), None);
    if chown(&data_dir.data_dir, Some(65534), None).is_err() {
        return eprintln!("SKIPPED: only root can change the owner of a directory");
    }
    data_dir.archive(archive_time()).unwrap();
    assert_eq!(names(&data_dir.data_dir), ["member.archived-2026-11-22T20-15-03Z"]);
    assert_archived(&data_dir);
}

/// Root may rename everything, so this runs as another user.
#[test]
fn a_data_directory_in_a_read_only_parent_stays() {
    privileges::without(module_path!(), "a_data_directory_in_a_read_only_parent_stays", || {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = member_at(&temporary.path().join("data"), None);
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let archived = data_dir.archive(archive_time());
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(archived.unwrap(), [data_dir.data_dir.join("member.archived-2026-11-22T20-15-03Z")]);
        assert_archived(&data_dir);
    });
}

#[test]
fn a_mount_point_stays_and_the_member_directory_is_renamed() {
    privileges::with_mount(module_path!(), "a_mount_point_stays_and_the_member_directory_is_renamed", |mount_point| {
        for number in ["", "-2"] {
            let data_dir = member_at(mount_point, Some(&mount_point.join("wal")));
            let archived = ["member", "wal"].map(|name| format!("{name}.archived-2026-11-22T20-15-03Z{number}"));
            assert_eq!(data_dir.archive(archive_time()).unwrap(), archived.map(|name| mount_point.join(name)));
            assert_archived(&data_dir);
        }
    });
}

#[test]
fn a_wal_on_a_mount_point_is_not_archived() {
    let name = "a_wal_on_a_mount_point_is_not_archived";
    privileges::with_mount(module_path!(), name, |mount_point| {
        let data_dir = member_at(&mount_point.with_file_name("data"), Some(mount_point));
        for _ in 0..2 {
            let error = data_dir.archive(archive_time()).unwrap_err();
            assert!(matches!(error, DataDirError::WalNotRenamed { .. }), "{error}");
            assert_eq!(data_dir.read().unwrap(), Contents::Member(IDENTITY), "the next run tries again");
            assert_eq!(data_dir.leftover().unwrap(), Leftover::None, "the database went first");
        }
    });
}

#[test]
fn a_wrong_clock_does_not_prevent_archiving() {
    let temporary = tempfile::tempdir().unwrap();
    for at in [SystemTime::UNIX_EPOCH - Duration::from_secs(1), archive_time() + Duration::from_secs(1 << 40)] {
        member_at(&temporary.path().join("data"), None).archive(at).unwrap();
    }
    assert_eq!(names(temporary.path()), ["data.archived-1970-01-01T00-00-00Z", "data.archived-9999-12-31T23-59-59Z"]);
}

#[test]
fn etcd_starts_as_a_new_member_and_also_on_the_archive() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let (path, wal) = (temporary.path().join("data"), temporary.path().join("disk/wal"));
        // The link stays, so the archive is inside the data directory.
        let disk = temporary.path().join("disk/etcd");
        fs::create_dir_all(&disk).unwrap();
        symlink(&disk, &path).unwrap();
        let data_dir = DataDir::new(path.clone(), Some(wal.clone()));
        let wal_flag = format!("--wal-dir={}", wal.display());

        let etcd = RealEtcd::start(&version, &path, &[&wal_flag, "--initial-cluster-token=first"]);
        let first = etcd.identity();
        etcd.stop();
        let archived = data_dir.archive(archive_time()).unwrap();
        assert_archived(&data_dir);

        let etcd = RealEtcd::start(&version, &path, &[&wal_flag, "--initial-cluster-token=second"]);
        let second = etcd.identity();
        assert_ne!(first, second);
        assert_eq!(data_dir.read().unwrap(), Contents::Member(second), "{}", version.name);
        etcd.stop();

        fs::create_dir(temporary.path().join("old")).unwrap();
        let old = temporary.path().join("old/data");
        fs::create_dir(&old).unwrap();
        fs::rename(&archived[0], old.join("member")).unwrap();
        let wal_flag = format!("--wal-dir={}", archived[1].display());
        assert_eq!(RealEtcd::start(&version, &old, &[&wal_flag]).identity(), first, "the archive is complete");
    }
}
