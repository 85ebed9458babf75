//! Reading the data directories of real etcds.

mod archiving;
mod layouts;
mod privileges;
mod real_etcd;

use std::{fs, os::unix::fs::FileExt, path::Path};

use convene_harness::{etcd::Version, wait_for};
use convene_lifecycle::PeerUrl;

use super::*;
use real_etcd::{LIMIT, RealEtcd, fail_to_join, start_without_peers};

fn first_segment(wal_dir: &Path) -> PathBuf {
    wal_dir.join("0000000000000000-0000000000000000.wal")
}

#[test]
fn the_member_is_read_while_etcd_runs_and_after_it_has_stopped() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let data_dir = DataDir::new(path.clone(), None);
        assert_eq!(data_dir.read().unwrap(), Contents::Fresh);
        assert!(!data_dir.is_in_use().unwrap());

        let etcd = RealEtcd::start(&version, &path, &[]);
        let identity = etcd.identity();
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity), "{}", version.name);
        assert!(data_dir.is_in_use().unwrap());
        assert!(matches!(data_dir.archive(SystemTime::now()), Err(DataDirError::InUse { .. })));

        let last_index = Some(etcd.last_index());
        etcd.stop();
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity));
        assert!(!data_dir.is_in_use().unwrap());
        assert_eq!(data_dir.evidence(), Evidence { last_index, never_led: false }, "{}", version.name);

        // The checks have not kept etcd from its database.
        assert_eq!(RealEtcd::start(&version, &path, &[]).identity(), identity);
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity), "after a crash");
    }
}

#[test]
fn a_truncated_wal_is_unreadable_and_never_fresh() {
    for version in Version::all() {
        let (temporary, identity) = a_segment_of(&version);
        let data_dir = DataDir::new(temporary.path().join("data"), Some(temporary.path().into()));
        let segment = fs::File::options().write(true).open(first_segment(temporary.path())).unwrap();
        let end_of_metadata = (0..1024).rev().find(|length| {
            segment.set_len(*length).unwrap();
            match data_dir.read().unwrap() {
                Contents::Member(found) => assert_eq!(found, identity),
                Contents::Unreadable { .. } => return true,
                Contents::Fresh => panic!("{} bytes of {} are fresh", length, version.name),
            }
            false
        });
        let end_of_metadata = end_of_metadata.expect("without a byte it is unreadable");
        assert!((40..80).contains(&end_of_metadata), "{end_of_metadata}");
        for length in (0..end_of_metadata).rev() {
            segment.set_len(length).unwrap();
            let contents = data_dir.read().unwrap();
            assert!(matches!(&contents, Contents::Unreadable { found } if found.contains(".wal ")), "{contents:?}");
        }
    }
}

#[test]
fn no_flipped_bit_makes_a_wal_fresh_or_changes_its_member() {
    for version in Version::all() {
        let (temporary, identity) = a_segment_of(&version);
        let data_dir = DataDir::new(temporary.path().join("data"), Some(temporary.path().into()));
        let path = first_segment(temporary.path());
        let intact = fs::read(&path).unwrap();
        let segment = fs::File::options().write(true).open(&path).unwrap();
        let ids = [&[0x08], &varint(identity.member.0)[..], &[0x10], &varint(identity.cluster.0)].concat();
        let start = intact.windows(ids.len()).position(|bytes| bytes == ids).expect("the IDs are in there");
        let ids = start..start + ids.len();
        for bit in 0..1024 * 8 {
            let byte = bit / 8;
            segment.write_all_at(&[intact[byte] ^ 1 << (bit % 8)], byte as u64).unwrap();
            match data_dir.read().unwrap() {
                Contents::Member(found) => {
                    assert_eq!(found, identity);
                    assert!(!ids.contains(&byte), "bit {bit} of the metadata makes no difference");
                }
                Contents::Unreadable { .. } => {}
                Contents::Fresh => panic!("with bit {bit} flipped it is fresh"),
            }
            segment.write_all_at(&intact[byte..=byte], byte as u64).unwrap();
        }
    }
}

#[test]
fn a_wal_keeps_its_member_when_segments_are_added_and_purged() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let data_dir = DataDir::new(path.clone(), None);
        let wal_dir = path.join("member/wal");
        let flags = ["--snapshot-count=10", "--max-wals=1", "--max-snapshots=1"];

        let etcd = RealEtcd::start(&version, &path, &flags);
        let identity = etcd.identity();
        let value = vec![b'x'; 1_500_000];
        // A segment has 64 MB.
        for _ in 0..46 {
            etcd.put("large", &value);
        }
        for _ in 0..12 {
            etcd.put("small", b"x");
        }
        assert!(wal_names(&wal_dir).len() > 1, "{}", version.name);
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity));

        // etcd purges when it starts, and then every 30 seconds.
        etcd.stop();
        let etcd = RealEtcd::start(&version, &path, &flags);
        let is_purged = || wal_names(&wal_dir)[0].starts_with("0000000000000001-");
        wait_for(LIMIT, || is_purged().then_some(())).expect("the first segment is purged");
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity));
        assert_eq!(etcd.identity(), identity);
        let last_index = etcd.last_index();
        drop(etcd);
        let led = Evidence { last_index: Some(last_index), never_led: false };
        assert_eq!(data_dir.evidence(), led, "{}", version.name);
        // A segment that has just been started has no entry. Its name has the index of the next one.
        let last_name = wal_names(&wal_dir).pop().unwrap();
        let sequence = u64::from_str_radix(&last_name[..16], 16).unwrap() + 1;
        let begun = wal_dir.join(format!("{sequence:016x}-{:016x}.wal", last_index + 1));
        fs::copy(wal_dir.join(last_name), &begun).unwrap();
        fs::File::options().write(true).open(&begun).unwrap().set_len(80).unwrap();
        assert_eq!(data_dir.evidence(), led);
        fs::remove_file(begun).unwrap();

        let index = match data_dir.leftover().unwrap() {
            Leftover::Applied { index } => index,
            leftover => panic!("{leftover:?}"),
        };
        assert!(index > 58, "{index}");
        fs::remove_file(path.join("member/snap/db")).unwrap();
        assert!(matches!(data_dir.leftover().unwrap(), Leftover::Applied { .. }), "there are snapshots");
    }
}

#[test]
fn a_founder_that_never_had_a_leader_is_told_apart_and_knows_its_peers() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let data_dir = DataDir::new(path.clone(), None);
        assert_eq!(data_dir.evidence(), Evidence { last_index: None, never_led: false });
        let mut etcd = start_without_peers(&version, &path);
        let never_led = Evidence { last_index: Some(3), never_led: true };
        wait_for(LIMIT, || (data_dir.evidence() == never_led).then_some(())).expect(version.name);
        let known = wait_for(LIMIT, || Some(data_dir.members()).filter(|members| members.len() == 3)).unwrap();
        let own: PeerUrl = etcd.place.peer_url.parse().unwrap();
        let Contents::Member(identity) = data_dir.read().unwrap() else { panic!("it has data") };
        let itself = known.iter().find(|member| member.id == identity.member).unwrap();
        assert_eq!(itself.peer_urls, [own]);
        etcd.kill();
        assert_eq!(data_dir.evidence(), never_led, "after a crash");
        assert_eq!(data_dir.members().len(), 3);
    }
}

#[test]
fn a_failed_join_leaves_an_unused_database_that_the_next_start_uses() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let data_dir = DataDir::new(path.clone(), None);
        assert_eq!(data_dir.leftover().unwrap(), Leftover::None);
        for _ in 0..2 {
            fail_to_join(&version, &path);
            assert_eq!(data_dir.read().unwrap(), Contents::Fresh, "{}", version.name);
            assert_eq!(data_dir.leftover().unwrap(), Leftover::NothingApplied, "{}", version.name);
        }
        assert_eq!(names(&path.join("member")), ["snap"]);

        let identity = RealEtcd::start(&version, &path, &[]).identity();
        assert_eq!(data_dir.read().unwrap(), Contents::Member(identity));
    }
}

#[test]
fn the_database_of_a_member_differs_from_that_of_a_failed_join() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let data_dir = DataDir::new(path.clone(), None);
        let etcd = RealEtcd::start(&version, &path, &[]);
        etcd.put("key", b"value");
        etcd.stop();
        fs::remove_dir_all(path.join("member/wal")).unwrap();
        assert_eq!(data_dir.read().unwrap(), Contents::Fresh);
        let leftover = data_dir.leftover().unwrap();
        assert!(matches!(leftover, Leftover::Applied { index: 3.. }), "{}: {leftover:?}", version.name);

        damage_the_database(&data_dir, &leftover);
        hide_the_index(&data_dir);
    }
}

#[test]
fn an_interrupted_restore_differs_from_a_failed_join() {
    for version in Version::all() {
        let temporary = tempfile::tempdir().unwrap();
        let etcd = RealEtcd::start(&version, &temporary.path().join("data"), &[]);
        etcd.put("key", b"value");
        let restored = temporary.path().join("restored");
        if !etcd.restore_to(&restored) {
            continue;
        }
        let data_dir = DataDir::new(restored, None);
        assert!(matches!(data_dir.read().unwrap(), Contents::Member(_)));
        // Its WAL has no entry of a leader, but its database has keys.
        assert!(!data_dir.evidence().never_led);
        // A restore writes the database, then the WAL, then a snapshot.
        fs::remove_dir_all(&data_dir.wal_dir).unwrap();
        for name in names(&data_dir.snap_dir()).into_iter().filter(|name| name != "db") {
            fs::remove_file(data_dir.snap_dir().join(name)).unwrap();
        }
        let leftover = data_dir.leftover().unwrap();
        assert!(matches!(leftover, Leftover::Applied { .. }), "{}: {leftover:?}", version.name);
    }
}

/// One valid meta page suffices, and no damaged byte makes reading fail.
fn damage_the_database(data_dir: &DataDir, leftover: &Leftover) {
    let path = data_dir.snap_dir().join("db");
    let intact = fs::read(&path).unwrap();
    let database = fs::File::options().write(true).open(&path).unwrap();
    let metas: Vec<Leftover> = [0, 4096]
        .map(|page| {
            database.write_all_at(&[0xff; 100], page).unwrap();
            let leftover = data_dir.leftover().unwrap();
            database.write_all_at(&intact[page as usize..][..100], page).unwrap();
            leftover
        })
        .into();
    assert!(metas.contains(leftover), "{metas:?}");

    // The rest is preallocated.
    let in_use = intact.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for offset in 0..in_use {
        for mask in [0x01, 0xff] {
            database.write_all_at(&[intact[offset] ^ mask], offset as u64).unwrap();
            data_dir.leftover().unwrap();
        }
        database.write_all_at(&intact[offset..=offset], offset as u64).unwrap();
    }
    assert_eq!(data_dir.leftover().unwrap(), *leftover);
}

/// Keys without an index are unreadable. So is a truncated file, unless it is empty.
fn hide_the_index(data_dir: &DataDir) {
    let path = data_dir.snap_dir().join("db");
    let mut bytes = fs::read(&path).unwrap();
    for start in 0..bytes.len() {
        if bytes[start..].starts_with(b"consistent_index") {
            bytes[start] = b'C';
        }
    }
    fs::write(&path, bytes).unwrap();
    let leftover = data_dir.leftover().unwrap();
    assert!(matches!(&leftover, Leftover::Unreadable { found } if found.contains("has keys")), "{leftover:?}");

    let database = fs::File::options().write(true).open(&path).unwrap();
    for page in (1..4).rev() {
        database.set_len(page * 4096 - 1).unwrap();
        assert!(matches!(data_dir.leftover().unwrap(), Leftover::Unreadable { .. }), "{page} pages");
    }
    database.set_len(0).unwrap();
    assert_eq!(data_dir.leftover().unwrap(), Leftover::NothingApplied, "bbolt initialises an empty file");
}

/// A directory with the beginning of an etcd's first segment, and its member.
fn a_segment_of(version: &Version) -> (tempfile::TempDir, Identity) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("etcd");
    let identity = RealEtcd::start(version, &path, &[]).identity();
    let segment = fs::read(first_segment(&path.join("member/wal"))).unwrap();
    fs::write(first_segment(temporary.path()), &segment[..4096]).unwrap();
    (temporary, identity)
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn wal_names(wal_dir: &Path) -> Vec<String> {
    names(wal_dir).into_iter().filter(|name| name.ends_with(".wal")).collect()
}

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number, &mut bytes);
    bytes
}
