use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why a data directory could not be read or archived, for reasons other than its contents.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Permission denied.
    #[error("not allowed to {action} {path}: {source}; run this as the user that etcd runs as")]
    Denied {
        /// The operation.
        action: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operation failed.
    #[error("cannot {action} {path}: {source}; check the disk and its free space")]
    Failed {
        /// The operation.
        action: &'static str,
        /// The path of the operation.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A broken symbolic link. Most likely a disk is not mounted; its data must not count as lost.
    #[error("{link} is a link to {target}, which does not exist; mount the disk of {target}, or remove the link")]
    BrokenLink {
        /// The link.
        link: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// An etcd runs on the data that should be archived.
    #[error("etcd is running on {path}; stop it so that its data can be archived")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The WAL directory can't be renamed. etcd would fail to put a new WAL into its place, too.
    #[error(
        "cannot archive the WAL directory {path}: {source}. For the same reason, etcd could not create a new WAL in \
         its place. Move its *.wal files to another directory by hand, and set --wal-dir to a subdirectory of the \
         mount point"
    )]
    WalNotRenamed {
        /// The WAL directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DataDirError {
    /// Adds the operation and its path to an error of the operating system.
    pub(super) fn when(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { action, path, source },
            _ => Self::Failed { action, path, source },
        }
    }
}
