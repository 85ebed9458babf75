use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
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
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let name = SocketAddr::from_abstract_name(format!("convene-join-{:016x}", hasher.finish()));
        let socket = name.and_then(|name| UnixListener::bind_addr(&name));
        match socket {
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
