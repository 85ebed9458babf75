use std::{collections::HashMap, mem, sync::Arc};

use convene_lifecycle::{Event, Revision, Token};
use tokio::sync::MutexGuard;

use super::{
    ClusterWrite, LoadedClusters, Stamp, Store, StoreError,
    commit::write_all,
    connection::Connection,
    read::{events, load_all, stamp},
    statement::Statement,
};

/// A transaction on the one connection that writes.
///
/// Whatever ends before [`Transaction::commit`] or [`Transaction::rollback`] takes its connection with it, because
/// nobody can say what state that is in: the database then undoes what was done, and the next one gets a new connection.
pub struct Transaction<'s> {
    store: &'s Store,
    writer: MutexGuard<'s, Writer>,
    connection: Connection,
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) enum Writer {
    Open(Connection),
    /// Its last transaction failed, as on a full disk or when the database was restarted.
    Lost,
    Closed,
}

impl Store {
    /// Begins a transaction that writes. On SQLite it has the database for itself; on PostgreSQL it has what it locks.
    pub async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = match mem::replace(&mut *writer, Writer::Lost) {
            Writer::Open(connection) => connection,
            Writer::Lost => self.connect().await?,
            Writer::Closed => {
                *writer = Writer::Closed;
                return Err(StoreError::Closed);
            }
        };
        let begin = if connection.is_shared() { "begin isolation level read committed" } else { "begin immediate" };
        let mut transaction = Transaction { store: self, writer, connection };
        let connection = &mut transaction.connection;
        // Nothing is to be done yet, so that whoever does not answer is not there.
        let begun = self.with_timeout(self.limits.acquire_timeout, async { Ok(connection.run(begin).await?) }).await;
        self.record_timeout(&begun);
        begun?;
        Ok(transaction)
    }

    /// Shows that the database takes commits, by making one that changes nothing.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        // On PostgreSQL nothing that others may have locked: drawing a number for the transaction makes it one that writes.
        let shared = "select pg_current_xact_id()::text as number";
        let text = if self.is_shared() { shared } else { "update registry set id = id where id = 1" };
        let statement = Statement::new(text);
        transaction.with_timeout(async |connection| Ok(connection.execute(statement).await?)).await?;
        transaction.commit().await
    }
}

impl Transaction<'_> {
    /// Keeps other servers from changing some clusters until the transaction ends, and says which state each of them is
    /// in. Those that are missing do not exist. On a database that one server has for itself, nothing is to be locked.
    ///
    /// They are locked in one order by everybody, so that no two servers wait for each other.
    pub async fn lock(&mut self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        if tokens.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = Statement::new("select token, revision, created_at from cluster where token in ");
        statement.push_list(tokens.iter().map(Token::as_str)).push(" order by token");
        if self.connection.is_shared() {
            statement.push(" for update");
        }
        let rows = self.with_timeout(async |connection| Ok(connection.fetch_all(statement).await?)).await?;
        rows.iter().map(stamp).collect()
    }

    /// What there is under some tokens.
    pub async fn load_all(&mut self, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
        self.with_timeout(async |connection| load_all(connection, tokens).await).await
    }

    /// A cluster's events; see [`Store::events`].
    pub async fn events(&mut self, token: &Token, from: Revision, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        self.with_timeout(async |connection| events(connection, token, from, limit).await).await
    }

    /// Writes changes. [`StoreError::Conflict`] if any of the clusters is not at its base revision any more.
    ///
    /// The statements hold the check themselves, so that it does not matter what decisions rest on. A statement serves
    /// all rows of its kind: calling the database costs more than what it does for a row.
    pub async fn write(&mut self, writes: &[ClusterWrite]) -> Result<(), StoreError> {
        self.with_timeout(async |connection| write_all(connection, writes).await).await
    }

    /// Makes it all last, and be on the disk.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.run("commit").await?;
        *self.writer = Writer::Open(self.connection);
        Ok(())
    }

    /// Makes it all last, and be on the disk soon: if the database crashes within a second, it is as if it had never
    /// been.
    pub async fn commit_without_sync(mut self) -> Result<(), StoreError> {
        if self.connection.is_shared() {
            self.run("set local synchronous_commit = off").await?;
        }
        self.commit().await
    }

    /// Undoes it all.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        self.run("rollback").await?;
        *self.writer = Writer::Open(self.connection);
        Ok(())
    }

    async fn run(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.with_timeout(async |connection| Ok(connection.run(text).await?)).await
    }

    pub(super) async fn with_timeout<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.store;
        let result = store.with_timeout(store.limits.statement_timeout, work(&mut self.connection)).await;
        store.record_timeout(&result);
        result
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
