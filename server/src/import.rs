use std::{
    fs,
    io::{self, Read},
};

use thiserror::Error;

use crate::{
    config::{DatabaseArgs, FileOrStream},
    document::{self, DocumentError},
    store::{self, OpenError, Store},
};

/// Why an import failed. Nothing was written, unless the error says otherwise.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The document can't be read.
    #[error("can't read {from}: {source}")]
    Read {
        /// Its path, or standard input.
        from: FileOrStream,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The document is not a consistent export.
    #[error("can't import {from}; nothing was written; {problem}")]
    Document {
        /// Its path, or standard input.
        from: FileOrStream,
        /// The problem.
        problem: DocumentError,
    },
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database refused the import.
    #[error("can't import into {into}: {problem}")]
    Store {
        /// The database.
        into: String,
        /// The reason.
        problem: store::ImportError,
    },
}

/// Imports a whole registry. Checks the whole document before it opens the database.
pub async fn import(database: &DatabaseArgs, from: &FileOrStream) -> Result<(), ImportError> {
    let text = read(from).map_err(|source| ImportError::Read { from: from.clone(), source })?;
    let dump = document::read(&text).map_err(|problem| ImportError::Document { from: from.clone(), problem })?;
    drop(text);
    let store = Store::open(database.url(), database.limits()).await?;
    let imported = store.import(&dump).await;
    store.close().await;
    let into = || store.name().to_owned();
    imported.map_err(|problem| ImportError::Store { into: into(), problem })?;
    let (clusters, used_tokens) = (dump.clusters.len(), dump.used_tokens.len());
    let (id, into) = (dump.registry_id, into());
    eprintln!("imported registry {id} into {into} (clusters: {clusters}, used tokens: {used_tokens})");
    Ok(())
}

fn read(from: &FileOrStream) -> io::Result<String> {
    match from {
        FileOrStream::File(path) => fs::read_to_string(path),
        FileOrStream::Stream => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            Ok(text)
        }
    }
}
