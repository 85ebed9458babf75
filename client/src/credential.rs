//! The credential with which a node checks in.
//!
//! The node makes it itself and keeps it in a file. At its first check-in it also sends a join token, and the registry binds the
//! credential to the node's name. From then on the credential alone speaks for the node. After [`RENEW_AFTER`] the node announces
//! another one, and uses that from the next check-in on.

mod file;
mod join_token;
mod stored;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use thiserror::Error;

use crate::{
    cli::NodeArgs, command_error::CommandError, node::Node, registry::RegistryError, state_dir::StateDirError,
};
use file::CredentialFile;
use stored::Stored;

pub use join_token::is_join_token;
pub use stored::hash_of;

/// A credential is renewed when it is older.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a check-in sends to show that it speaks for its node.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The node's credential.
    pub credential: Option<String>,
    /// A join token.
    pub join_token: Option<String>,
    /// The SHA-256 of the credential that comes next.
    pub next: Option<String>,
}

/// The credential of a node, and its join token.
#[derive(Debug)]
pub struct Credentials {
    file: CredentialFile,
    join_token: Option<String>,
    /// Whether a credential was made in place of a revoked one. A join token lets a node in once, so another one would not help.
    has_replaced: Cell<bool>,
    /// The credential as it was last read or written. The disk may fail, or other data may come to its place, while the node runs.
    known: RefCell<Option<Stored>>,
    /// What is wrong with the files of the credential or of the join token, and whether that was told.
    problem: RefCell<Option<(String, bool)>>,
    /// The credential of a dry run, which leaves no file.
    of_dry_run: RefCell<Option<Stored>>,
}

/// Why the credential can't be used.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The file can't be read or written.
    #[error("cannot {action} the credential of this node, {path}: {cause}")]
    File {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The directory for it can't be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The content is not a credential.
    #[error(
        "{path} holds no credential of a node ({problem}); move it away, and give this node a new join token with --join-token-file \
         (`convene cluster join-token create --node NAME`)"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Others can read it.
    #[error("other users can read {0}, which holds the credential of this node; run `chmod 600` on it")]
    Exposed(PathBuf),
    /// It is that of another node, or of a node in another cluster.
    #[error("{path} holds the credential of {found}; give each node a file of its own with --credential-file")]
    OfOther {
        /// The file.
        path: PathBuf,
        /// What it is the credential of.
        found: String,
    },
}

impl Credentials {
    /// The credential of a node as the command line describes it.
    pub fn new(arguments: &NodeArgs, node: &Node) -> Result<Self, CommandError> {
        let file = CredentialFile::of(arguments.credential_file.as_deref(), node)?;
        let known = file.read()?;
        let is_accepted = known.as_ref().is_some_and(|stored| stored.accepted);
        let join_token_file = arguments.join_token_file.as_deref();
        let join_token = join_token::read(join_token_file)?;
        // The registry refuses a node that needs one, with the remedy. The reason may be a wrong path.
        let missing = join_token_file.filter(|_| join_token.is_none() && !is_accepted).map(|path| {
            (format!("--join-token-file {} does not exist, so this node sends no join token", path.display()), false)
        });
        Ok(Self {
            known: RefCell::new(known),
            join_token,
            problem: RefCell::new(missing),
            ..Self::without_join_token(file)
        })
    }

    fn without_join_token(file: CredentialFile) -> Self {
        Self {
            file,
            join_token: None,
            has_replaced: Cell::default(),
            known: RefCell::default(),
            problem: RefCell::default(),
            of_dry_run: RefCell::default(),
        }
    }

    /// What is wrong with the files of the credential or of the join token, once for each problem. The node goes on all the same.
    pub fn new_problem(&self) -> Option<String> {
        let mut problem = self.problem.borrow_mut();
        let (message, is_told) = problem.as_mut()?;
        (!std::mem::replace(is_told, true)).then(|| message.clone())
    }

    /// What another request than a check-in sends to show that it speaks for this node.
    pub fn shown(&self) -> Result<Shown, CredentialError> {
        Ok(self.present(false)?.map(|stored| self.show(&stored, false)).unwrap_or_default())
    }

    /// Sends a check-in as often as it takes to be admitted with what this node has.
    pub async fn check_in<T>(
        &self,
        dry_run: bool,
        send: impl AsyncFn(Shown) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let Some(mut stored) = self.present(dry_run)? else { return send(Shown::default()).await };
        let is_new = !stored.accepted;
        let answer = send(self.show(&stored, is_new)).await;
        let denial = answer.as_ref().err().and_then(RegistryError::denial).unwrap_or_default().to_owned();
        let answer = match (denial.as_str(), stored.previous.take()) {
            // The registry has lost the announcement, for example because a copy of its database was restored.
            ("node-bound" | "join-token-required", Some(previous)) => {
                stored.credential = previous;
                self.try_to_save(&stored, dry_run);
                send(self.show(&stored, false)).await
            }
            ("node-bound" | "join-token-required", None) if self.join_token.is_some() && !is_new => {
                send(self.show(&stored, true)).await
            }
            ("credential-revoked", _) if self.join_token.is_some() && !self.has_replaced.get() => {
                stored = Stored::draw(self.file.owner());
                // A credential that is admitted and then lost would take another join token.
                self.save(&stored, dry_run)?;
                self.has_replaced.set(true);
                send(self.show(&stored, true)).await
            }
            (_, previous) => {
                stored.previous = previous;
                answer
            }
        };
        if answer.is_ok() && stored.admitted(SystemTime::now()) {
            // If that fails, the file has both credentials, and the registry takes either.
            self.try_to_save(&stored, dry_run);
        }
        answer.map_err(|error| self.explain(error, is_new))
    }

    /// Adds to a refusal that the disk of this node's credential may be missing, if the node had none.
    fn explain(&self, error: RegistryError, is_new: bool) -> RegistryError {
        if !is_new || self.has_replaced.get() || error.denial() != Some("node-bound") {
            return error;
        }
        error.with_hint(&format!(
            "there was no credential at {}, so the node has made a new one: if its disk is not mounted, mount it and start again",
            self.file.place().display()
        ))
    }

    /// The credential now. Another process of this node may have renewed it. `None` if there is none, and the filesystem is mounted
    /// read-only.
    fn present(&self, dry_run: bool) -> Result<Option<Stored>, CredentialError> {
        if let Some((stored, is_in_file)) = self.read()? {
            // If the file is gone, something else may be mounted in its place.
            if is_in_file && !dry_run && stored.is_due(SystemTime::now(), RENEW_AFTER) {
                let mut renewed = stored.clone();
                renewed.announce();
                // The registry must not learn of a credential that is not on disk.
                return Ok(Some(if self.try_to_save(&renewed, dry_run) { renewed } else { stored }));
            }
            return Ok(Some(stored));
        }
        if dry_run {
            let draw = || Stored::draw(self.file.owner());
            return Ok(Some(self.of_dry_run.borrow_mut().get_or_insert_with(draw).clone()));
        }
        match self.file.create(&Stored::draw(self.file.owner())) {
            Ok(stored) => {
                *self.known.borrow_mut() = Some(stored.clone());
                Ok(Some(stored))
            }
            Err(CredentialError::StateDir(StateDirError::ReadOnly { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The credential in the file, or the one that was there before if the disk fails or something else is in its place; and whether it is
    /// in the file.
    fn read(&self) -> Result<Option<(Stored, bool)>, CredentialError> {
        let mut known = self.known.borrow_mut();
        let is_in_file = match self.file.read() {
            Ok(Some(stored)) => {
                *known = Some(stored);
                true
            }
            Ok(None) => false,
            Err(error @ (CredentialError::File { .. } | CredentialError::StateDir(_))) if known.is_some() => {
                self.note(&error);
                false
            }
            Err(error) => return Err(error),
        };
        Ok(known.clone().map(|stored| (stored, is_in_file)))
    }

    /// Saves a change without which the node can go on. Returns whether that succeeded.
    fn try_to_save(&self, stored: &Stored, dry_run: bool) -> bool {
        self.save(stored, dry_run).map_err(|error| self.note(&error)).is_ok()
    }

    fn note(&self, error: &CredentialError) {
        let message = format!("{error}; the node keeps using its present credential");
        let mut problem = self.problem.borrow_mut();
        if problem.as_ref().is_none_or(|(known, _)| *known != message) {
            *problem = Some((message, false));
        }
    }

    fn save(&self, stored: &Stored, dry_run: bool) -> Result<(), CredentialError> {
        match dry_run {
            true => {
                *self.of_dry_run.borrow_mut() = Some(stored.clone());
                Ok(())
            }
            false => {
                self.file.replace(stored)?;
                *self.known.borrow_mut() = Some(stored.clone());
                Ok(())
            }
        }
    }

    fn show(&self, stored: &Stored, sends_token: bool) -> Shown {
        Shown {
            credential: Some(stored.credential.clone()),
            join_token: self.join_token.clone().filter(|_| sends_token),
            next: stored.next.as_deref().map(hash_of),
        }
    }
}

impl From<CredentialError> for CommandError {
    fn from(error: CredentialError) -> Self {
        Self::Local(error.to_string())
    }
}
