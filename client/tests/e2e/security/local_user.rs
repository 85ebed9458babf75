//! Another user of the same machine.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Output,
};

use convene_harness::{etcd::Version, run_as_nobody};

use crate::node::{LIMIT, Node, Registry};

fn succeeds(output: &Output) -> bool {
    output.status.success()
}

/// The folder of a node, which other users may enter, and the directory of `convene` in it.
fn folders(node: &Node) -> (PathBuf, PathBuf) {
    let folder = node.place.data_dir().parent().unwrap().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let state = folder.join(".data.convene");
    (folder, state)
}

#[test]
fn another_user_neither_takes_nor_blocks_the_lock_nor_reads_what_is_beside_it() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(2);
    let node = Node::new(&version, &registry, "infra0");
    let (folder, state) = folders(&node);
    let Some(created) = run_as_nobody("mkdir \"$1/.data.convene\"", &folder) else { return };
    assert!(!succeeds(&created), "nobody may write here");

    // The lock is free, is taken by `convene join`, and free again: nobody can take it at any time.
    let mut waiting = node.spawn_join(&[]);
    waiting.wait_for_stderr("wait (forming)", LIMIT);
    let lock = state.join("lock");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o7777, 0o600);
    let attempts =
        ["flock -n \"$1/lock\" true", "cat \"$1\"/*", "ls \"$1\"", "echo x >\"$1/promoter\"", "mv \"$1\" \"$1.away\""];
    for attempt in attempts {
        let tried = run_as_nobody(attempt, &state).unwrap();
        assert!(!succeeds(&tried) && tried.stdout.is_empty(), "{attempt}: {tried:?}");
    }
    let second = node.spawn_join(&[]).wait_for_exit(LIMIT);
    assert_eq!(second, Some(3), "another `convene join` of the same user is refused");
    waiting.kill();
    for attempt in attempts {
        assert!(!succeeds(&run_as_nobody(attempt, &state).unwrap()), "{attempt}");
    }
    let mut again = node.spawn_join(&[]);
    again.wait_for_stderr("wait (forming)", LIMIT);
    again.kill();
}

/// As in /tmp. The node says which directory another user has prepared, and does nothing.
#[test]
fn where_everybody_may_write_a_prepared_directory_is_an_error_that_names_it() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let node = Node::new(&version, &registry, "infra0");
    let (folder, state) = folders(&node);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
    for script in ["mkdir -m 777 \"$1\"", "mkdir -m 700 \"$1\"", "ln -s /etc \"$1\"", "touch \"$1\""] {
        let Some(prepared) = run_as_nobody(script, &state) else { return };
        assert!(succeeds(&prepared), "{prepared:?}");
        let ended = node.call("join", &["--no-promote"]).run(LIMIT);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{} ", state.display())), "{script}: {}", ended.stderr);
        match fs::symlink_metadata(&state).unwrap().is_dir() {
            true => fs::remove_dir(&state).unwrap(),
            false => fs::remove_file(&state).unwrap(),
        }
    }
    assert!(!Path::new("/etc/lock").exists());
    let joined = node.call("join", &["--no-promote"]).run(LIMIT);
    assert_eq!(joined.code, Some(0), "{}", joined.stderr);
}
