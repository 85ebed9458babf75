//! How the agent learns that its etcd serves: etcd reports it as a service does to systemd.

#[cfg(test)]
mod tests;

use std::{
    fs,
    future::pending,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use tokio::net::UnixDatagram;

use crate::{
    progress::Progress,
    state_dir::{StateDir, StateDirError},
};

/// The name of the socket in the directory of the node.
const NAME: &str = "etcd-ready";

/// The name under which the socket is made.
const NEW_NAME: &str = "etcd-ready.new";

/// The socket to which one etcd reports that it serves. Each start of etcd gets a new one, so that no report of an earlier etcd
/// counts for a later one.
///
/// Only the owner of the data directory can reach the socket. Every user could send to an abstract socket.
///
/// etcd 3.4 to 3.7 send `READY=1` once the member has published itself in its cluster, which takes a quorum; no report says nothing
/// about the process. An etcd that is told to stop before that sends it, too (`server/etcdmain/etcd.go:startEtcd`,
/// `server/etcdmain/main.go:notifySystemd`).
///
/// Without a socket, no report ever comes.
#[derive(Debug)]
pub struct EtcdReadiness(Option<Listening>);

#[derive(Debug)]
struct Listening {
    path: PathBuf,
    socket: UnixDatagram,
}

/// Why there is no socket.
#[derive(Debug, Error)]
enum ListenError {
    #[error(transparent)]
    Directory(#[from] StateDirError),
    #[error("cannot listen at {path}: {source}")]
    Failed { path: PathBuf, source: io::Error },
}

impl EtcdReadiness {
    /// Makes the socket for the etcd with this data directory. It replaces the one of an earlier etcd. If that fails, it is logged, and
    /// the agent learns from etcd's ports alone that it serves.
    pub fn new(data_dir: &Path, progress: &Progress) -> Self {
        let listening = Listening::start(data_dir);
        if let Err(error) = &listening {
            let message =
                format!("etcd can't report to the agent that it serves ({error}); the agent asks etcd's ports instead");
            progress.step("warning", &message);
        }
        Self(listening.ok())
    }

    /// For an etcd that was started with another socket or none.
    pub fn none() -> Self {
        Self(None)
    }

    /// The value of `NOTIFY_SOCKET` for etcd.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|listening| &*listening.path)
    }

    /// Waits until etcd reports that it serves. It does so once, so a second wait lasts for ever.
    pub async fn ready(&self) {
        let Some(Listening { socket, .. }) = &self.0 else { return pending().await };
        let mut message = [0; 4096];
        loop {
            match socket.recv(&mut message).await {
                Ok(length) if is_ready(&message[..length]) => return,
                Ok(_) => {}
                Err(_) => return pending().await,
            }
        }
    }
}

impl Listening {
    fn start(data_dir: &Path) -> Result<Self, ListenError> {
        let directory = StateDir::open(data_dir)?;
        let failed = |source| ListenError::Failed { path: directory.path_of(NAME), source };
        // etcd may have another working directory.
        let absolute = |name| std::path::absolute(directory.path_of(name)).map_err(failed);
        let (path, new) = (absolute(NAME)?, absolute(NEW_NAME)?);
        // A socket can't be bound to a path that exists. It is renamed instead of deleting the other one, because the client has no
        // code that deletes a file which it has not just written.
        let socket = match UnixDatagram::bind(&new) {
            // An agent was killed before it had renamed its socket.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                fs::rename(&new, &path).and_then(|()| UnixDatagram::bind(&new))
            }
            bound => bound,
        };
        let socket = socket.map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
        Ok(Self { path, socket })
    }
}

fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}
