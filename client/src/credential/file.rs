use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    CredentialError,
    stored::{Owner, Stored},
};
use crate::{command_error::CommandError, node::Node, state_dir::StateDir};

/// The most bytes of a file that is read.
const MAX_BYTES: u64 = 64 << 10;

/// Where a node's credential is.
#[derive(Debug)]
pub struct CredentialFile {
    place: Place,
    owner: Owner,
}

#[derive(Debug)]
enum Place {
    /// In the directory next to the data: it is lost with the data.
    BesideData { data_dir: PathBuf, name: String },
    /// `--credential-file`.
    Chosen(PathBuf),
}

impl CredentialFile {
    /// The file of a node: the chosen one, or that beside its data.
    pub fn of(chosen: Option<&Path>, node: &Node) -> Result<Self, CommandError> {
        let owner = Owner::new(&node.cluster.token, &node.name);
        let place = match chosen {
            Some(path) => Place::Chosen(
                std::path::absolute(path)
                    .map_err(|error| CommandError::Usage(format!("cannot use --credential-file {path:?}: {error}")))?,
            ),
            // The name of a node may have any character, and a data directory may be used for one cluster after another.
            None => {
                let of_owner = super::hash_of(&format!("{}\n{}", owner.cluster, owner.node));
                Place::BesideData { data_dir: node.data_path.clone(), name: format!("credential-{}", &of_owner[..16]) }
            }
        };
        Ok(Self { place, owner })
    }

    /// The file at a path.
    #[cfg(test)]
    pub fn at(path: &Path, owner: Owner) -> Self {
        Self { place: Place::Chosen(path.to_owned()), owner }
    }

    /// Whose credential it holds.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What it is lost with: the data directory, or the file itself.
    pub fn place(&self) -> &Path {
        match &self.place {
            Place::BesideData { data_dir, .. } => data_dir,
            Place::Chosen(path) => path,
        }
    }

    /// The credential; `None` if there is no file.
    pub fn read(&self) -> Result<Option<Stored>, CredentialError> {
        let Some((file, path)) = self.open()? else { return Ok(None) };
        let mut text = String::new();
        let read = file.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(|cause| CredentialError::File { action: "read", path: path.clone(), cause })?;
        let stored: Stored = serde_json::from_str(&text)
            .map_err(|error| CredentialError::Content { path: path.clone(), problem: error.to_string() })?;
        if let Some(problem) = stored.problem() {
            return Err(CredentialError::Content { path, problem: problem.to_owned() });
        }
        if stored.owner != self.owner {
            let other = if stored.owner.cluster == self.owner.cluster { "" } else { " in another cluster" };
            return Err(CredentialError::OfOther { path, found: format!("node {}{other}", stored.owner.node) });
        }
        Ok(Some(stored))
    }

    /// Writes a new credential, unless another process of this node has just done so. Returns the one in the file.
    pub fn create(&self, stored: &Stored) -> Result<Stored, CredentialError> {
        let (written, path) = self.write(stored)?;
        let linked = fs::hard_link(&written, &path);
        let placed = match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Some filesystems have no links.
            Err(_) => return self.rename(&written, &path).map(|()| stored.clone()),
            Ok(()) => Ok(()),
        };
        let removed = fs::remove_file(&written);
        placed.and(removed).map_err(|cause| CredentialError::File { action: "write", path: path.clone(), cause })?;
        Ok(self.read()?.unwrap_or_else(|| stored.clone()))
    }

    /// Replaces the credential. A crash leaves the one before, or the new one.
    pub fn replace(&self, stored: &Stored) -> Result<(), CredentialError> {
        let (written, path) = self.write(stored)?;
        self.rename(&written, &path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), CredentialError> {
        let renamed = fs::rename(from, to).and_then(|()| match to.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        });
        renamed.map_err(|cause| CredentialError::File { action: "write", path: to.to_owned(), cause })
    }

    fn open(&self) -> Result<Option<(File, PathBuf)>, CredentialError> {
        let path = match &self.place {
            Place::BesideData { data_dir, name } => {
                let Some(directory) = StateDir::open_existing(data_dir)? else { return Ok(None) };
                return Ok(directory.existing_file(name)?.map(|file| (file, directory.path_of(name))));
            }
            Place::Chosen(path) => path.clone(),
        };
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.mode(), file)));
        match opened {
            Ok((mode, _)) if mode & 0o077 != 0 => Err(CredentialError::Exposed(path)),
            Ok((_, file)) => Ok(Some((file, path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(CredentialError::File { action: "open", path, cause }),
        }
    }

    /// Writes a credential beside its file, to disk. Returns where, and the path of the file.
    fn write(&self, stored: &Stored) -> Result<(PathBuf, PathBuf), CredentialError> {
        let suffix = format!("{}.new", std::process::id());
        let (mut file, written, path) = match &self.place {
            Place::BesideData { data_dir, name } => {
                let directory = StateDir::open(data_dir)?;
                let new = format!("{name}.{suffix}");
                (directory.file(&new)?, directory.path_of(&new), directory.path_of(name))
            }
            Place::Chosen(path) => {
                let mut written = path.clone().into_os_string();
                written.push(format!(".{suffix}"));
                let written = PathBuf::from(written);
                // One of a process that was killed.
                let _ = fs::remove_file(&written);
                let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written);
                let file = options.map_err(|cause| CredentialError::File {
                    action: "create",
                    path: written.clone(),
                    cause,
                })?;
                (file, written, path.clone())
            }
        };
        let text = serde_json::to_string(stored).expect("a credential can be written as JSON") + "\n";
        let done = file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.sync_all());
        done.map_err(|cause| CredentialError::File { action: "write", path: written.clone(), cause })?;
        Ok((written, path))
    }
}
