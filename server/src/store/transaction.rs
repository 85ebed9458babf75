use std::{
    collections::{HashMap, HashSet},
    mem,
    time::Duration,
};

use convene_lifecycle::{Revision, Token};
use tokio::sync::MutexGuard;

use super::{
    ClusterWrite, LoadedClusters, RetainedHistory, Stamp, Store, StoreError, WriteId,
    commit::write_all,
    connection::Connection,
    generation::{begin_generation, is_new_generation},
    postgres::PING_TIMEOUT,
    read::{load_all, token},
    stamp::{select_stamps, stamp, write_of},
    statement::Statement,
};
use crate::metrics::TransactionMeasurement;

/// A transaction on the one connection that writes.
///
/// If it is dropped before [`Transaction::commit`] or [`Transaction::rollback`], its connection is closed, because the state of
/// the connection is unknown: the database then rolls back, and the next transaction opens a new connection.
pub struct Transaction<'s> {
    store: &'s Store,
    writer: MutexGuard<'s, Writer>,
    connection: Connection,
    /// The generation of a SQLite database that this transaction begins, if it begins one.
    generation: Option<i64>,
    measurement: TransactionMeasurement,
}

/// The result of [`Transaction::try_lock`].
#[derive(Debug, Default)]
pub struct Locks {
    /// The stamps of the clusters that are locked now. Those that do not exist are missing.
    pub stamps: HashMap<Token, Stamp>,
    /// The clusters that another session has locked.
    pub busy: HashSet<Token>,
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) enum Writer {
    Open(Connection),
    /// The last transaction failed, for example on a full disk or in a restart of the database.
    Lost,
    Closed,
}

impl Store {
    /// Begins a transaction that writes. On SQLite it excludes all other writes; on PostgreSQL it excludes those of rows that it
    /// locks.
    pub async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut writer = self.writer.lock().await;
        let measurement = self.metrics.begin();
        let mut connection = match mem::replace(&mut *writer, Writer::Lost) {
            // A firewall may have forgotten a connection. Only a new one shows that the database is down.
            Writer::Open(connection) => match self.begin_on(connection, PING_TIMEOUT).await {
                Err(StoreError::TimedOut(_)) => Box::pin(self.begin_on_new()).await?,
                begun => begun?,
            },
            Writer::Lost => Box::pin(self.begin_on_new()).await?,
            Writer::Closed => {
                *writer = Writer::Closed;
                return Err(StoreError::Closed);
            }
        };
        self.check_not_replaced(&mut connection).await?;
        Ok(Transaction { store: self, writer, connection, generation: None, measurement })
    }

    async fn begin_on_new(&self) -> Result<Connection, StoreError> {
        let connection = self.connect().await?;
        let begun = self.begin_on(connection, self.limits.acquire_timeout).await;
        // The statement does no work, so a database that does not answer is down.
        self.record_timeout(&begun);
        begun
    }

    async fn begin_on(&self, mut connection: Connection, limit: Duration) -> Result<Connection, StoreError> {
        let begin = if connection.is_shared() { "begin isolation level read committed" } else { "begin immediate" };
        self.with_timeout(limit, async { Ok(connection.run(begin).await?) }).await?;
        Ok(connection)
    }

    /// Checks that the database accepts commits, with one that changes nothing.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.confirm_commits().await?;
        let mut transaction = self.begin().await?;
        // A transaction ID makes the transaction a writing one without a row that others may have locked.
        let shared = "select pg_current_xact_id()::text as number";
        let text = if self.is_shared() { shared } else { "update registry set id = id where id = 1" };
        let statement = Statement::new(text);
        transaction.with_timeout(async |connection| Ok(connection.execute(statement).await?)).await?;
        transaction.commit().await
    }
}

impl Transaction<'_> {
    /// Locks clusters against changes by other servers until the transaction ends, except those that another session has
    /// locked. Does not wait: whoever holds one row must not hold up the writes to all other clusters. For shared databases only.
    pub async fn try_lock(&mut self, tokens: &[Token]) -> Result<Locks, StoreError> {
        if tokens.is_empty() {
            return Ok(Locks::default());
        }
        let mut lock = select_stamps(tokens);
        lock.push(" order by token for update skip locked");
        let rows = self.with_timeout(async |connection| Ok(connection.fetch_all(lock).await?)).await?;
        let stamps: HashMap<Token, Stamp> = rows.iter().map(stamp).collect::<Result<_, _>>()?;
        let missing: Vec<&str> = tokens.iter().filter(|token| !stamps.contains_key(token)).map(Token::as_str).collect();
        if missing.is_empty() {
            return Ok(Locks { stamps, busy: HashSet::new() });
        }
        let mut exists = Statement::new("select token from cluster where token");
        exists.push_in(missing);
        let rows = self.with_timeout(async |connection| Ok(connection.fetch_all(exists).await?)).await?;
        let busy = rows.iter().map(token).collect::<Result<_, _>>()?;
        Ok(Locks { stamps, busy })
    }

    /// Locks clusters against changes by other servers until the transaction ends, and returns their stamps; those that do not
    /// exist are missing. Waits for other sessions that have locked them. A SQLite database has no other servers, so there
    /// nothing is locked.
    ///
    /// All servers lock in the same order, so that they can't deadlock.
    pub async fn lock(&mut self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        if tokens.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = select_stamps(tokens);
        statement.push(" order by token");
        if self.connection.is_shared() {
            statement.push(" for update");
        }
        let rows = self.with_timeout(async |connection| Ok(connection.fetch_all(statement).await?)).await?;
        rows.iter().map(stamp).collect()
    }

    /// See [`LoadedClusters`].
    pub async fn load_all(&mut self, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
        self.with_timeout(async |connection| load_all(connection, tokens).await).await
    }

    /// See [`Store::write_of`].
    pub async fn write_of(&mut self, token: &Token, revision: Revision) -> Result<Option<Option<WriteId>>, StoreError> {
        self.with_timeout(async |connection| write_of(connection, token, revision).await).await
    }

    /// Writes changes of clusters. Fails with [`StoreError::Conflict`] if a cluster is not in its base state any more.
    ///
    /// The statements themselves check the base, whatever the decisions were based on. One statement writes all rows of a
    /// table, because a round trip to the database costs more than a row.
    pub async fn write(&mut self, writes: &[ClusterWrite], history: RetainedHistory) -> Result<(), StoreError> {
        self.with_timeout(async |connection| write_all(connection, writes, history).await).await?;
        if !self.connection.is_shared() && is_new_generation(writes) {
            self.generation = Some(begin_generation(&mut self.connection).await?);
        }
        Ok(())
    }

    /// Commits, and returns once everything is on the disk.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.run("commit").await?;
        self.committed();
        Ok(())
    }

    /// Commits within a time limit. A database that does not meet it does not count as down, because it may wait for a standby.
    pub(super) async fn commit_within(mut self, limit: Duration) -> Result<(), StoreError> {
        let connection = &mut self.connection;
        self.store.with_timeout(limit, async { Ok(connection.run("commit").await?) }).await?;
        self.committed();
        Ok(())
    }

    fn committed(mut self) {
        if let Some(generation) = self.generation {
            self.store.keep_generation(&self.store.registry_id, generation);
        }
        *self.writer = Writer::Open(self.connection);
        self.measurement.committed();
    }

    /// Commits, and does not wait for the disk on PostgreSQL: a crash of the database can lose what was committed in the last
    /// second (`synchronous_commit = off`).
    pub async fn commit_without_sync(mut self) -> Result<(), StoreError> {
        if self.connection.is_shared() {
            self.run("set local synchronous_commit = off").await?;
        }
        self.commit().await
    }

    /// Rolls back.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        self.run("rollback").await?;
        *self.writer = Writer::Open(self.connection);
        self.measurement.rolled_back();
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
