use std::{
    fs,
    io::{self, Read},
};

use thiserror::Error;

use crate::{
    config::{DatabaseArgs, FileOrStream},
    document::{self, Unreadable},
    store::{self, OpenError, Store},
};

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// There is no such document.
    #[error("{from} can't be read: {source}")]
    Read {
        /// Where it should be.
        from: FileOrStream,
        /// What the operating system said.
        source: io::Error,
    },
    /// No registry can go on from it.
    #[error("{from} can't be imported, nothing was written; {problem}")]
    Document {
        /// Where it is.
        from: FileOrStream,
        /// What is wrong with it.
        problem: Unreadable,
    },
    /// The database can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database can't be written, or not by an import.
    #[error("can't import into {into}: {problem}")]
    Store {
        /// Which database.
        into: String,
        /// Why.
        problem: store::ImportError,
    },
}

/// Takes over a whole registry. All of the document is checked before the database is so much as opened.
pub async fn import(database: &DatabaseArgs, from: &FileOrStream) -> Result<(), ImportError> {
    let text = read(from).map_err(|source| ImportError::Read { from: from.clone(), source })?;
    let contents = document::read(&text).map_err(|problem| ImportError::Document { from: from.clone(), problem })?;
    drop(text);
    let store = Store::open(&database.database_url, database.limits()).await?;
    let imported = store.import(&contents).await;
    store.close().await;
    let into = || store.name().to_owned();
    imported.map_err(|problem| ImportError::Store { into: into(), problem })?;
    let (clusters, used_tokens) = (contents.clusters.len(), contents.used_tokens.len());
    let (id, into) = (contents.registry_id, into());
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
