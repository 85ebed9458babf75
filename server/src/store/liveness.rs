//! The stored liveness of clusters.

mod document;

use std::collections::{BTreeMap, HashMap};

use convene_lifecycle::{Cluster, Instruction, Liveness, MemberKey, Policy, Report, Token, UnixMillis};

use super::{Store, StoreError, Transaction, connection::Connection, read::token, statement::Statement, table::Table};
use document::LivenessDocument;

/// The most rows in one statement of [`Transaction::write_liveness`].
pub const LIVENESS_CHUNK: usize = 500;

/// The liveness of one cluster as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessRecord {
    /// The state of the failure detector, which knows the present members.
    pub detector: Liveness,
    /// When removed members were last seen, for as long as they stay on record.
    removed: BTreeMap<MemberKey, UnixMillis>,
}

impl LivenessRecord {
    /// Knows nobody; silence counts from now on.
    pub fn new(now: UnixMillis) -> Self {
        Self { detector: Liveness::new(now), removed: BTreeMap::new() }
    }

    /// Continues on a server that may have missed check-ins while it was down: keeps when members were last seen, and counts
    /// silence from now on. The clock may have been ahead before.
    pub fn restart(&mut self, now: UnixMillis) {
        self.detector.replace_future_times(now);
        for seen in self.removed.values_mut() {
            *seen = now.min(*seen);
        }
        self.detector.since = now;
        self.detector.nodes.clear();
        for member in self.detector.members.values_mut() {
            (member.failing, member.received, member.unreached_by_voters) = (None, None, None);
        }
    }

    /// Continues after a time in which the server, or all servers of a database, may have been interrupted. See
    /// [`Liveness::resume`].
    pub fn resume(&mut self, policy: &Policy, now: UnixMillis) {
        self.detector.resume(policy, now);
    }

    /// Records a check-in. See [`Liveness::record_check_in`].
    pub fn record_check_in(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        let gone = self.detector.last_seen().filter(|(member, _)| cluster.member(member).is_none());
        self.removed.extend(gone.map(|(member, at)| (member.clone(), at)));
        self.detector.record_check_in(cluster, report, now);
        self.removed
            .retain(|key, _| cluster.record.iter().any(|member| member.key == *key && member.removed.is_some()));
    }

    /// Records the instruction for a check-in. See [`Liveness::record_instruction`].
    pub fn record_instruction(&mut self, cluster: &Cluster, report: &Report, instruction: &Instruction) {
        self.detector.record_instruction(cluster, report, instruction);
    }

    /// When members were last seen, removed ones included. Those that are missing never were.
    pub fn last_seen(&self) -> BTreeMap<MemberKey, UnixMillis> {
        let mut last_seen = self.removed.clone();
        last_seen.extend(self.detector.last_seen().map(|(member, at)| (member.clone(), at)));
        last_seen
    }

    /// When a member was last seen. `None` if it never was.
    pub fn last_seen_of(&self, member: &MemberKey) -> Option<UnixMillis> {
        let seen = self.detector.last_seen().find(|(key, _)| *key == member).map(|(_, at)| at);
        seen.or_else(|| self.removed.get(member).copied())
    }
}

impl Store {
    /// The stored liveness of a cluster; `None` if nobody has checked in yet.
    pub async fn liveness(&self, token: &Token, now: UnixMillis) -> Result<Option<LivenessRecord>, StoreError> {
        let tokens = std::slice::from_ref(token);
        let mut stored = self.read(async |reader| read_liveness(reader, tokens, now).await).await?;
        Ok(stored.remove(token))
    }
}

impl Transaction<'_> {
    /// The stored liveness of some clusters.
    pub async fn liveness(
        &mut self,
        tokens: &[Token],
        now: UnixMillis,
    ) -> Result<HashMap<Token, LivenessRecord>, StoreError> {
        self.with_timeout(async |connection| read_liveness(connection, tokens, now).await).await
    }

    /// Stores the liveness of clusters. Leaves out those that do not exist.
    pub async fn write_liveness(&mut self, records: &[(Token, LivenessRecord)]) -> Result<(), StoreError> {
        let documents: Vec<(&Token, LivenessDocument)> =
            records.iter().map(|(token, record)| (token, record.into())).collect();
        self.with_timeout(async |connection| write_documents(connection, &documents).await).await
    }
}

/// Reads the liveness of some clusters. Silence counts from `now` on if the database has no start for it.
pub(super) async fn read_liveness(
    connection: &mut Connection,
    tokens: &[Token],
    now: UnixMillis,
) -> Result<HashMap<Token, LivenessRecord>, StoreError> {
    if tokens.is_empty() {
        return Ok(HashMap::new());
    }
    let mut statement = Statement::new(
        "select token, document from liveness join cluster on cluster.id = liveness.cluster where token",
    );
    statement.push_in(tokens.iter().map(Token::as_str));
    let rows = connection.fetch_all(statement).await?;
    let mut records = HashMap::with_capacity(rows.len());
    for row in &rows {
        let token = token(row)?;
        match serde_json::from_str::<LivenessDocument>(row.try_get("document")?) {
            Ok(document) => drop(records.insert(token, document.into_record(now))),
            // Silence counts from now on, so no member counts as dead because of this.
            Err(error) => {
                tracing::warn!(cluster = %token, %error, "can't read the stored liveness; starting with an empty one");
            }
        }
    }
    Ok(records)
}

/// Stores when members were last seen, without a state of the failure detector.
pub(super) async fn write_last_seen(
    connection: &mut Connection,
    clusters: &[(&Token, &BTreeMap<MemberKey, UnixMillis>)],
) -> Result<(), StoreError> {
    let known = clusters.iter().filter(|(_, last_seen)| !last_seen.is_empty());
    let documents: Vec<(&Token, LivenessDocument)> =
        known.map(|(token, last_seen)| (*token, LivenessDocument::of_last_seen(last_seen))).collect();
    write_documents(connection, &documents).await
}

async fn write_documents(
    connection: &mut Connection,
    documents: &[(&Token, LivenessDocument)],
) -> Result<(), StoreError> {
    // Most batches are small and of recurring sizes. Large ones are not worth a place in the cache of statements.
    const CACHED_UP_TO: usize = 128;
    for documents in documents.chunks(LIVENESS_CHUNK) {
        let mut changed = Table::new();
        changed
            .column("token", documents.iter().map(|(token, _)| token.as_str()))
            .column("document", documents.iter().map(|(_, document)| document.to_json()));
        let mut upsert = Statement::new("insert into liveness (cluster, document) with changed (token, document) as (");
        upsert.push_table(changed);
        upsert.push(
            ") select cluster.id, changed.document from changed join cluster on cluster.token = changed.token where true \
             on conflict (cluster) do update set document = excluded.document",
        );
        connection.execute(upsert.cache(documents.len() <= CACHED_UP_TO)).await?;
    }
    Ok(())
}
