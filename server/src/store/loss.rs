//! What a running server has noticed of writes that its database has lost.

use std::{
    mem,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use convene_lifecycle::Token;
use tokio::sync::Notify;

use super::{Stamp, Store, StoreError, connection::Connection, generation::system, statement::Statement, table::Table};

/// Whether the database may have lost writes since this server started.
#[derive(Debug, Default)]
pub(super) struct Loss {
    state: Mutex<State>,
    noticed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// PostgreSQL's system identifier and timeline at the last connection that writes; `None` if they are not known.
    system: Option<String>,
    suspicion: Suspicion,
    /// When the last suspicion arose.
    suspected_at: Option<Instant>,
}

/// What speaks for a loss that has not been dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Nothing.
    #[default]
    None,
    /// Another database has answered than before, such as a standby after a failover. It may have everything.
    OtherSystem,
    /// A write is missing.
    WriteMissing,
}

impl Store {
    /// What speaks for a loss that has not been dealt with.
    pub fn suspicion(&self) -> Suspicion {
        self.loss.lock().suspicion
    }

    /// Takes note that a suspicion was dealt with, unless there is a stronger one by now.
    pub fn dispel(&self, suspicion: Suspicion) {
        let mut state = self.loss.lock();
        if state.suspicion <= suspicion {
            state.suspicion = Suspicion::None;
        }
    }

    /// Takes note that the database may have lost writes.
    pub fn suspect(&self, suspicion: Suspicion) {
        let mut state = self.loss.lock();
        if state.suspicion < suspicion {
            (state.suspicion, state.suspected_at) = (suspicion, Some(Instant::now()));
            self.loss.noticed.notify_one();
        }
    }

    /// Takes note that the database lacks a state that it last confirmed so long ago. If there was a suspicion since, that one has
    /// been dealt with, or is about to be.
    pub fn suspect_missing(&self, confirmed: Duration) {
        let suspected_at = self.loss.lock().suspected_at;
        if suspected_at.is_none_or(|at| at.elapsed() > confirmed) {
            self.suspect(Suspicion::WriteMissing);
        }
    }

    /// Waits until something speaks for a loss.
    pub async fn until_suspicion(&self) {
        self.loss.noticed.notified().await;
    }

    /// Takes note of the system that a new connection for writing leads to, before anything is written to it.
    pub(super) async fn note_system(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let limit = self.limits.acquire_timeout;
        let found = self.with_timeout(limit, system(connection)).await?;
        let before = mem::replace(&mut self.loss.lock().system, found.clone());
        if before.is_some() && before != found {
            self.suspect(Suspicion::OtherSystem);
        }
        Ok(())
    }

    /// Whether the database lacks one of these states. A cluster that has been deleted or whose history has been compacted since
    /// proves nothing. For shared databases only.
    pub async fn lacks_any(&self, states: &[(Token, Stamp)]) -> Result<bool, StoreError> {
        if states.is_empty() {
            return Ok(false);
        }
        let mut known = Table::new();
        known
            .column("token", states.iter().map(|(token, _)| token.as_str()))
            .column("created_at", states.iter().map(|(_, stamp)| stamp.created_at.0))
            .column("revision", states.iter().map(|(_, stamp)| stamp.revision.0 as i64))
            .column("write_id", states.iter().map(|(_, stamp)| stamp.write_id.map(|write_id| write_id.0)));
        let mut statement = Statement::new(format!("with known ({}) as (", known.names()));
        statement.push_table(known);
        statement.push(
            ") select known.token from known \
             join cluster on cluster.token = known.token and cluster.created_at = known.created_at \
             where cluster.revision < known.revision or exists (select 1 from event where event.cluster = cluster.id \
             and event.revision = known.revision and event.write_id is distinct from known.write_id) limit 1",
        );
        let rows = self.read(async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        Ok(!rows.is_empty())
    }
}

impl Loss {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}
