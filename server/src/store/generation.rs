//! Notices that the database is an older copy of itself.
//!
//! A SQLite database counts its generations: each commit by which a cluster forms, is found to exist or begins an epoch is
//! one more. A file next to the database has the same number. A database that is restored from a copy has a lower one. After that, and
//! after an import, the count goes on from the time in milliseconds, which is higher than the number in any copy.
//! PostgreSQL has a system identifier, and a timeline that changes when an older state is restored; the registry remembers
//! both.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, Once,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use convene_lifecycle::{EventKind, Revision};

use super::{ClusterWrite, Database, OpenError, Store, StoreError, connection::Connection, statement::Statement};

/// How the database shows that it is an older copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WentBack {
    /// A SQLite database has a lower generation than the file next to it.
    Generation {
        /// The database's generation.
        found: i64,
        /// The generation in the file.
        expected: i64,
    },
    /// A SQLite database that has clusters, or in which clusters have formed, and no line for it in the file next to it. Or the line is of
    /// an earlier time, for example because the database has been on another machine since.
    Unknown {
        /// The database's generation.
        found: i64,
    },
    /// PostgreSQL has another system identifier or timeline than before, each with a slash between.
    System {
        /// The present ones.
        found: String,
        /// The ones from before.
        expected: String,
    },
    /// A write of this server is missing.
    WriteMissing,
}

impl WentBack {
    /// Whether it is certain.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation { found, expected } => {
                write!(f, "it is at generation {found}, and was at {expected} before")
            }
            Self::Unknown { found } => {
                write!(
                    f,
                    "it is at generation {found}, and its file `….generation` does not show which one was the last"
                )
            }
            Self::WriteMissing => write!(f, "it lacks a change that it had before"),
            Self::System { found, expected } => {
                write!(f, "its system identifier and timeline are {found}, and were {expected} before")
            }
        }
    }
}

/// The file with the generation of a SQLite database. Its first line is about the registry of this server: the registry's ID, a space,
/// and the generation. Further lines are about other registries that have been at the same path. One of them may come back as an older
/// copy, for example if the server was started without its database before an administrator restored it.
#[derive(Debug)]
pub(super) struct GenerationFile {
    path: PathBuf,
    /// The latest generation of this process; 0 before the first one.
    latest: AtomicI64,
    /// What this process has written.
    written: Mutex<Option<Written>>,
}

#[derive(Debug)]
struct Written {
    file: File,
    /// The length of the first line, in bytes.
    own: usize,
    /// The length of the file, in bytes.
    all: usize,
}

/// The most registries in the file.
const REGISTRIES: usize = 16;

impl GenerationFile {
    /// The file for the database at a path. A symbolic link to the database leads to the same file. Fails if the file exists and can't be
    /// read: the server could not know whether the database is an older copy, and would hold clusters for a mistake in the file's mode.
    pub fn open(database: &Path) -> Result<Self, OpenError> {
        let mut path = database.canonicalize().unwrap_or_else(|_| database.to_owned()).into_os_string();
        path.push(".generation");
        let file = Self { path: path.into(), latest: AtomicI64::new(0), written: Mutex::default() };
        match fs::read(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::CannotOpen {
                database: database.display().to_string(),
                reason: format!("can't read {}: {error}; correct its owner and mode", file.path.display()),
            }),
            _ => Ok(file),
        }
    }

    /// The generation in the file. `None` if there is no file, or no line about this registry.
    fn read(&self, registry_id: &str) -> Option<i64> {
        self.registries().into_iter().filter(|(id, _)| id == registry_id).map(|(_, generation)| generation).max()
    }

    /// The registries in the file with their generations. A line that is damaged or cut off is left out.
    fn registries(&self) -> Vec<(String, i64)> {
        let text = fs::read(&self.path).unwrap_or_default();
        let registry = |line: &str| {
            let (id, generation) = line.strip_suffix('\n')?.split_once(' ')?;
            let is_number = generation.bytes().all(|byte| byte.is_ascii_digit());
            Some((id.to_owned(), generation.parse().ok().filter(|_| is_number)?))
        };
        String::from_utf8_lossy(&text).split_inclusive('\n').filter_map(registry).collect()
    }

    /// Writes the generation. A failure is logged: the commit has been made.
    pub fn write(&self, registry_id: &str, generation: i64) {
        self.latest.store(generation, Ordering::Relaxed);
        let own = format!("{registry_id} {generation}\n");
        let mut written = self.written.lock().expect("no holder panics");
        if written.as_ref().is_some_and(|written| written.overwrite(&own).is_ok_and(|is_overwritten| is_overwritten)) {
            return;
        }
        *written = self
            .replace(registry_id, &own)
            .inspect_err(|error| {
                tracing::error!(
                    file = %self.path.display(),
                    %error,
                    "can't write the database's generation, so the server may not detect an older copy of the database, or may hold \
                     clusters at its next start"
                );
            })
            .ok();
    }

    /// Writes a new file with this first line, and the lines of other registries.
    fn replace(&self, registry_id: &str, own: &str) -> io::Result<Written> {
        let others = self.registries().into_iter().filter(|(id, _)| id != registry_id).take(REGISTRIES - 1);
        let others: String = others.map(|(id, generation)| format!("{id} {generation}\n")).collect();
        let mut temporary: OsString = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(format!("{own}{others}").as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        // The new name is on the disk once the directory is.
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Written { file, own: own.len(), all: own.len() + others.len() })
    }
}

impl Written {
    /// Overwrites the first line with one of the same length. Returns `false` if it has another length, or if the file has lost its name. A
    /// new file for each commit would take two more writes to the disk, for which all clients wait. So short a text at the start of a file
    /// is in one sector, which the disk has as it was or as it is.
    fn overwrite(&self, own: &str) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        if metadata.nlink() == 0 || metadata.len() != self.all as u64 || own.len() != self.own {
            return Ok(false);
        }
        self.file.write_all_at(own.as_bytes(), 0)?;
        self.file.sync_data()?;
        Ok(true)
    }
}

impl Store {
    /// Whether the database is an older copy of itself. `None` if it is not, or if nothing can be said.
    pub async fn went_back(&self) -> Result<Option<WentBack>, StoreError> {
        match &self.database {
            Database::Sqlite(file) => {
                let found = self.read(async |reader| generation(reader).await).await?;
                self.compare_generation(found, file.generation.read(&self.registry_id)).await
            }
            Database::Postgres(_) => {
                let Some(found) = self.system().await? else { return Ok(None) };
                let expected = self.remembered_system().await?;
                Ok(expected.filter(|expected| *expected != found).map(|expected| WentBack::System { found, expected }))
            }
        }
    }

    /// What the generation of a SQLite database shows next to the one in the file.
    async fn compare_generation(&self, found: i64, expected: Option<i64>) -> Result<Option<WentBack>, StoreError> {
        Ok(match expected {
            Some(expected) if found < expected => Some(WentBack::Generation { found, expected }),
            // A crash between the commit and the file leaves the file one behind.
            Some(expected) if found > expected.saturating_add(1) => Some(WentBack::Unknown { found }),
            // A server writes the file before the first cluster.
            None if found > 0 || self.cluster_count().await? > 0 => Some(WentBack::Unknown { found }),
            _ => None,
        })
    }

    /// Remembers the present state of the database as the latest one.
    pub async fn remember_state(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite(file) => {
                let expected = file.generation.read(&self.registry_id);
                let found = self.read(async |reader| generation(reader).await).await?;
                let remembered = match self.compare_generation(found, expected).await? {
                    Some(_) => self.set_generation(later_than(found.max(expected.unwrap_or(found)))).await?,
                    None => found,
                };
                if expected == Some(remembered) {
                    file.generation.latest.store(remembered, Ordering::Relaxed);
                } else {
                    file.generation.write(&self.registry_id, remembered);
                }
                Ok(())
            }
            Database::Postgres(_) => {
                let Some(system) = self.system().await? else { return Ok(()) };
                if self.remembered_system().await?.as_ref() == Some(&system) {
                    return Ok(());
                }
                let update = Statement::new("update registry set system = $1 where id = 1").bind(system.as_str());
                let mut transaction = self.begin().await?;
                transaction.with_timeout(async |connection| Ok(connection.execute(update).await?)).await?;
                transaction.commit().await
            }
        }
    }

    async fn remembered_system(&self) -> Result<Option<String>, StoreError> {
        let select = Statement::new("select system from registry where id = 1");
        let row = self.read(async |reader| Ok(reader.fetch_one(select).await?)).await?;
        Ok(row.try_get("system")?)
    }

    async fn set_generation(&self, generation: i64) -> Result<i64, StoreError> {
        let update = Statement::new("update registry set generation = $1 where id = 1").bind(generation);
        let mut transaction = self.begin().await?;
        transaction.with_timeout(async |connection| Ok(connection.execute(update).await?)).await?;
        transaction.commit().await?;
        Ok(generation)
    }

    async fn system(&self) -> Result<Option<String>, StoreError> {
        self.read(async |reader| system(reader).await).await
    }

    /// Fails if a SQLite database has a lower generation than this server has committed: somebody has put an older copy into it. Looked at
    /// in each transaction that writes, because an answer that is based on the copy could found a cluster again.
    pub(super) async fn check_not_replaced(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let Database::Sqlite(file) = &self.database else { return Ok(()) };
        let latest = file.generation.latest.load(Ordering::Relaxed);
        let found = generation(connection).await?;
        if found < latest { Err(StoreError::Replaced { found, latest }) } else { Ok(()) }
    }

    /// Writes the file of a SQLite database after a commit.
    pub(super) fn keep_generation(&self, registry_id: &str, generation: i64) {
        if let Database::Sqlite(file) = &self.database {
            file.generation.write(registry_id, generation);
        }
    }

    /// A generation that is higher than the one of any other SQLite database of the registry.
    pub(super) fn next_generation(&self, registry_id: &str) -> i64 {
        match &self.database {
            Database::Sqlite(file) => later_than(file.generation.read(registry_id).unwrap_or_default()),
            Database::Postgres(_) => 0,
        }
    }
}

/// A generation that is higher than this one, and than the one of any copy of the database that exists by now: copies may have numbers that
/// the file does not know, and there are fewer commits than milliseconds.
fn later_than(generation: i64) -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    i64::try_from(now).unwrap_or_default().max(generation.saturating_add(1))
}

/// Whether a commit changes what must not be forgotten: a cluster forms, is found to exist, or begins an epoch.
pub(super) fn is_new_generation(writes: &[ClusterWrite]) -> bool {
    writes.iter().any(|write| {
        let base = write.base.map_or(Revision(0), |base| base.revision);
        let is_new = |at: Option<Revision>| at.is_some_and(|at| at > base);
        let begins_epoch = write.events.iter().any(|event| event.kind == EventKind::EpochBegun);
        begins_epoch || write.after.as_ref().is_some_and(|after| is_new(after.formed) || is_new(after.bootstrapped))
    })
}

/// Begins the next generation of a SQLite database, and returns it.
pub(super) async fn begin_generation(connection: &mut Connection) -> Result<i64, StoreError> {
    let update = "update registry set generation = generation + 1 where id = 1 returning generation";
    Ok(connection.fetch_one(Statement::new(update)).await?.try_get("generation")?)
}

async fn generation(connection: &mut Connection) -> Result<i64, StoreError> {
    let select = Statement::new("select generation from registry where id = 1");
    Ok(connection.fetch_one(select).await?.try_get("generation")?)
}

/// PostgreSQL's system identifier and its present timeline, with a slash between. `None` for SQLite, and if they can't be read, which
/// has been logged. Fails on a standby, which has no timeline of its own.
pub(super) async fn system(connection: &mut Connection) -> Result<Option<String>, StoreError> {
    if !connection.is_shared() {
        return Ok(None);
    }
    let text = "select system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as system \
                from pg_control_system()";
    let error = match connection.fetch_one(Statement::new(text)).await {
        Ok(row) => return Ok(Some(row.try_get("system")?)),
        Err(error) => StoreError::from(error),
    };
    if error.is_transient() {
        return Err(error);
    }
    static WARNING: Once = Once::new();
    WARNING.call_once(|| {
        tracing::warn!(
            %error,
            "can't read PostgreSQL's system identifier and timeline, so the server can't detect an older copy of the database; \
             grant execute on function pg_control_system(), pg_current_wal_lsn(), pg_walfile_name(pg_lsn)"
        );
    });
    Ok(None)
}
