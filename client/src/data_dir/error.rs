use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why a data directory could not be read or set aside, for reasons that are not in the data.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// The operating system forbids it.
    #[error("may not {action} {path}: {source}; run this as the user that etcd runs as")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system failed.
    #[error("could not {action} {path}: {source}; see whether the disk that it is on is well and has room")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A symbolic link to nothing. Most likely a disk is not mounted, and its data must not count as lost.
    #[error("{link} is a link to {target}, which does not exist; mount the disk that it is on, or remove the link")]
    LeadsNowhere {
        /// The link.
        link: PathBuf,
        /// What it should lead to.
        target: PathBuf,
    },
    /// An etcd runs on what was to be set aside.
    #[error("an etcd runs on {path}; stop it before its data is set aside")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The WAL directory can't be renamed; a new WAL can't be made in its place either.
    #[error(
        "could not set the WAL directory {path} aside: {source}; etcd puts a new WAL into place by a renaming that \
         fails there too, so move its *.wal files away by hand, to outside of it, and let --wal-dir name a \
         subdirectory of a mount point and not the mount point itself"
    )]
    WalStays {
        /// The WAL directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DataDirError {
    /// Makes the operating system's error one that says what was tried with what.
    pub(super) fn when(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { action, path, source },
            _ => Self::Failed { action, path, source },
        }
    }
}
