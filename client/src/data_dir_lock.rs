use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::{
    command_error::CommandError,
    data_dir::room,
    state_dir::{StateDir, StateDirError},
};

/// Ensures that one `convene` process at a time decides about a data directory. The lock is held until it is dropped.
///
/// Two processes would receive different instructions. etcd might be started on the instruction of one while the other
/// continues, and the data that etcd writes would then look stale to the other.
///
/// The lock is that of a file which only the owner of the data directory can open (`flock`), so that no other user can take it. The
/// kernel releases it however the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// The name of the locked file.
const LOCK: &str = "lock";

impl DataDirLock {
    /// Takes the lock, or fails with [`CommandError::Refused`] if another process holds it. `None` if the filesystem of the data is
    /// mounted read-only: nobody can start an etcd there, and it may be mounted writable later.
    pub fn acquire(data_dir: &Path) -> Result<Option<Self>, CommandError> {
        let opened = StateDir::open(data_dir).and_then(|dir| {
            let file = match dir.file(LOCK) {
                // The data may be on another filesystem. A file that is open for reading can be locked as well.
                Err(StateDirError::ReadOnly { .. }) if !room::is_read_only(data_dir) => dir.existing_file(LOCK)?,
                file => Some(file?),
            };
            Ok(file.map(|file| (dir.path_of(LOCK), file)))
        });
        let (path, file) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(StateDirError::ReadOnly { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Err(CommandError::Refused(format!(
                "another `convene join` or `convene run` is already running for {}; wait for it to finish, or stop it",
                data_dir.display()
            ))),
            Err(TryLockError::Error(error)) => {
                Err(CommandError::Local(format!("cannot lock {}: {error}", path.display())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_the_lock_of_a_data_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let (one, other) = (temporary.path().join("one"), temporary.path().join("other"));
        let lock = DataDirLock::acquire(&one).unwrap();
        assert!(lock.is_some());
        assert!(matches!(DataDirLock::acquire(&one), Err(CommandError::Refused(_))));
        assert!(DataDirLock::acquire(&other).unwrap().is_some());
        drop(lock);
        assert!(DataDirLock::acquire(&one).unwrap().is_some());
    }
}
