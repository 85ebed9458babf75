use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::MetadataExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::Path,
};

use crate::command_error::CommandError;

/// Ensures that one `convene` process at a time decides about a data directory. The lock is held until it is dropped.
///
/// Two processes would receive different instructions. etcd might be started on the instruction of one while the other
/// continues, and the data that etcd writes would then look stale to the other.
///
/// The lock is the name of an abstract Unix socket. Unlike a lock file it needs no directory to be in, and the kernel
/// releases it however the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _socket: UnixListener,
}

impl DataDirLock {
    /// Takes the lock, or fails with [`CommandError::Refused`] if another process holds it.
    pub fn acquire(data_dir: &Path) -> Result<Self, CommandError> {
        let name = abstract_name("join", data_dir);
        match name.and_then(|name| UnixListener::bind_addr(&name)) {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(CommandError::Refused(format!(
                "another `convene join` is already running for {}; wait for it to finish, or stop it",
                data_dir.display()
            ))),
            Err(error) => {
                Err(CommandError::Local(format!("cannot check whether another `convene join` is running: {error}")))
            }
        }
    }
}

/// The name of an abstract Unix socket for a command and a data directory.
pub fn abstract_name(command: &str, data_dir: &Path) -> std::io::Result<SocketAddr> {
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    // Containers may share the network, which abstract names belong to, and have data directories of the same path.
    let parent = data_dir.parent().and_then(|parent| std::fs::metadata(parent).ok());
    parent.map(|parent| (parent.dev(), parent.ino())).hash(&mut hasher);
    SocketAddr::from_abstract_name(format!("convene-{command}-{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_the_lock_of_a_data_directory() {
        let (one, other) = (Path::new("/nowhere/one"), Path::new("/nowhere/other"));
        let lock = DataDirLock::acquire(one).unwrap();
        assert!(matches!(DataDirLock::acquire(one), Err(CommandError::Refused(_))));
        DataDirLock::acquire(other).unwrap();
        drop(lock);
        DataDirLock::acquire(one).unwrap();
    }
}
