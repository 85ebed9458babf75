//! Whether the database has confirmed that commits are as durable as it is configured to make them.
//!
//! A COMMIT on a database with synchronous standbys waits for them. If an administrator ends that wait, or the session, the
//! commit is in this database and visible, and may be on no standby (`src/backend/replication/syncrep.c:SyncRepWaitForLSN`): a
//! failover would lose it. Seeing a change in the database therefore doesn't confirm it, but a later commit that has waited
//! does, because standbys receive the log in order.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{Store, StoreError, statement::Statement};

/// After an attempt to confirm has taken too long, how long the next ones fail at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a commit of this server is unconfirmed.
#[derive(Debug, Default)]
pub(super) struct Durability {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Confirmed,
    Unconfirmed {
        last_attempt: Option<Instant>,
    },
}

impl Store {
    /// Takes note that a commit of this server may not be durable. [`Store::confirm_commits`] then has work to do.
    pub fn mark_unconfirmed(&self) {
        let mut state = self.durability.lock();
        if matches!(*state, State::Confirmed) {
            *state = State::Unconfirmed { last_attempt: None };
        }
    }

    /// Waits until the commits that were marked as unconfirmed are confirmed.
    ///
    /// Until then the server must not acknowledge anything that may rest on them, even if it changes nothing.
    pub async fn confirm_commits(&self) -> Result<(), StoreError> {
        match &mut *self.durability.lock() {
            State::Confirmed => return Ok(()),
            State::Unconfirmed { last_attempt: Some(at) } if at.elapsed() < PAUSE => {
                return Err(StoreError::Unconfirmed(self.limits.acquire_timeout));
            }
            State::Unconfirmed { .. } => {}
        }
        let confirmed = self.confirm().await;
        *self.durability.lock() = match confirmed {
            Ok(()) => State::Confirmed,
            Err(StoreError::Unconfirmed(_)) => State::Unconfirmed { last_attempt: Some(Instant::now()) },
            Err(_) => State::Unconfirmed { last_attempt: None },
        };
        confirmed
    }

    /// Waits until all commits up to now are confirmed, with a commit after them. Fails with [`StoreError::Unconfirmed`] if
    /// that takes longer than the acquire time-out.
    pub async fn confirm(&self) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        // Only a transaction that writes to the log waits for standbys (`src/backend/access/transam/xact.c:
        // RecordTransactionCommit`). A message locks no row.
        let text = "select pg_backend_pid()::bigint as pid, pg_logical_emit_message(true, 'convene', '')::text as lsn";
        let written = transaction.with_timeout(async |it| Ok(it.fetch_one(Statement::new(text)).await?)).await?;
        let pid: i64 = written.try_get("pid")?;
        match transaction.commit_within(self.limits.acquire_timeout).await {
            Err(StoreError::TimedOut(limit)) => {
                // It would wait for as long as the standby is away, and so would one after the other.
                let end = Statement::new("select pg_terminate_backend($1::integer)").bind(pid);
                let _ = self.read(async |reader| Ok(reader.fetch_all(end).await.map(drop)?)).await;
                Err(StoreError::Unconfirmed(limit))
            }
            result => result,
        }
    }
}

impl Durability {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}
