use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    time::SystemTime,
};

use convene_lifecycle::UnixMillis;
use tempfile::NamedTempFile;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{DatabaseArgs, FileOrStream},
    document::Writer,
    store::{self, Export, OpenError},
};

/// Why an export failed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database can't be read completely.
    #[error("nothing was exported: {0}")]
    Store(#[from] store::ExportError),
    /// The export can't be written.
    #[error("can't write {to}: {source}")]
    Write {
        /// Its path, or standard output.
        to: FileOrStream,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A signal has ended the export.
    #[error("interrupted by a signal; nothing was exported")]
    Interrupted,
}

/// The size of an export.
struct Counts {
    clusters: usize,
    used_tokens: usize,
}

/// Exports the whole registry.
pub async fn export(database: &DatabaseArgs, to: &FileOrStream) -> Result<(), ExportError> {
    let export = Export::begin(database.url(), database.limits()).await?;
    let registry_id = export.registry_id().to_owned();
    let write = async {
        match to {
            FileOrStream::File(path) => write_at(export, path).await,
            FileOrStream::Stream => Ok(write_to(export, io::stdout().lock()).await?.0),
        }
    };
    let counts = tokio::select! {
        counts = write => counts,
        // Dropping the temporary file deletes it.
        () = signalled() => return Err(ExportError::Interrupted),
    };
    let Counts { clusters, used_tokens } = counts.map_err(|error| error.of(to))?;
    eprintln!("exported registry {registry_id} to {to} (clusters: {clusters}, used tokens: {used_tokens})");
    Ok(())
}

/// Why the export ended early.
#[derive(Debug, Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] store::ExportError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WriteError {
    fn of(self, to: &FileOrStream) -> ExportError {
        match self {
            Self::Store(error) => error.into(),
            Self::Io(source) => ExportError::Write { to: to.clone(), source },
        }
    }
}

/// Writes a file, or to something that is not a regular file, such as a pipe. Follows symbolic links.
async fn write_at(export: Export, path: &Path) -> Result<Counts, WriteError> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => write_file(export, &path.canonicalize()?).await,
        Ok(_) => Ok(write_to(export, File::options().write(true).open(path)?).await?.0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_file(export, path).await,
        Err(error) => Err(error.into()),
    }
}

/// Writes a file, and gives it its name once everything is on the disk; replaces a file of that name. Only its owner can read
/// it, because tokens are secrets.
async fn write_file(export: Export, path: &Path) -> Result<Counts, WriteError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".convene-export-").tempfile_in(folder)?;
    let (counts, file): (Counts, NamedTempFile) = write_to(export, file).await?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Otherwise a power failure could lose the name.
    File::open(folder)?.sync_all()?;
    Ok(counts)
}

async fn write_to<W: Write>(mut export: Export, to: W) -> Result<(Counts, W), WriteError> {
    let used_tokens = export.used_tokens().await.map_err(store::ExportError::from)?;
    let mut counts = Counts { clusters: 0, used_tokens: used_tokens.len() };
    let mut writer = Writer::begin(BufWriter::new(to), export.registry_id(), &used_tokens, now())?;
    loop {
        let clusters = export.clusters().await?;
        if clusters.is_empty() {
            break;
        }
        counts.clusters += clusters.len();
        clusters.iter().try_for_each(|dump| writer.cluster(dump))?;
    }
    let to = writer.end()?.into_inner().map_err(|error| error.into_error())?;
    Ok((counts, to))
}

async fn signalled() {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
