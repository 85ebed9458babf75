use std::{path::Path, sync::Arc, time::Duration};

use convene_lifecycle::{
    Cluster, Event, Face, Member, MemberKey, Policy, Purpose, REMEMBERED, Revision, Subject, Ticket, Token,
};
use sqlx::{ConnectOptions, Connection, QueryBuilder, SqliteConnection, query_builder::Separated};

use super::{Db, Store, StoreError, Writer, open::options};

/// A cluster's events from this many revisions back are kept, for those who wait from an index: as
/// many as etcd's v2 store keeps for all keys together.
const HISTORY: u64 = 1000;

/// Old events are dropped every so many revisions, so that most commits need no statement for it.
const FORGET_EVERY: u64 = 100;

/// What one commit does to one cluster: takes it from a revision that was read before to a new state.
#[derive(Debug)]
pub struct Write {
    /// Which cluster.
    pub token: Token,
    /// The revision that the decisions were made on; `None` means that there was no such cluster.
    pub base: Option<Revision>,
    /// The cluster from now on; `None` means that it is deleted.
    pub after: Option<Arc<Cluster>>,
    /// What happened to it, oldest first; at least one.
    pub events: Vec<Arc<Event>>,
}

impl Store {
    /// Writes all of it with one fsync, or nothing. [`StoreError::Conflict`] if any of the clusters is not
    /// at its base revision any more.
    ///
    /// The first statement of the transaction is a write and takes the locks, so decisions can't rest
    /// on what was read under none. It also holds the only check, which makes it safe among
    /// several servers on one database. A statement serves all rows of its kind: calling the database
    /// costs more than what it does for a row.
    pub async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = writer.connect(&self.path).await?;
        let result = write_all(connection, writes).await;
        writer.lose_if_failed(&result);
        result
    }

    /// Shows that the database takes commits, by making one that changes nothing.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = writer.connect(&self.path).await?;
        let result = write_nothing(connection).await;
        writer.lose_if_failed(&result);
        result
    }
}

impl Writer {
    pub(super) async fn connect(&mut self, path: &Path) -> Result<&mut SqliteConnection, StoreError> {
        if matches!(self, Self::Lost) {
            *self = Self::Open(options(path).create_if_missing(false).connect().await?);
        }
        match self {
            Self::Open(connection) => Ok(connection),
            Self::Lost | Self::Closed => Err(StoreError::Closed),
        }
    }

    /// A conflict is no failure of the connection: its transaction was rolled back in order.
    pub(super) fn lose_if_failed(&mut self, result: &Result<(), StoreError>) {
        if !matches!(result, Ok(()) | Err(StoreError::Conflict)) {
            *self = Self::Lost;
        }
    }
}

async fn write_all(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("begin immediate").await?;
    update_clusters(&mut tx, writes).await?;
    insert_clusters(&mut tx, writes).await?;
    delete_clusters(&mut tx, writes).await?;
    upsert_members(&mut tx, writes).await?;
    insert_events(&mut tx, writes).await?;
    forget_events(&mut tx, writes).await?;
    tx.commit().await?;
    Ok(())
}

async fn write_nothing(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("begin immediate").await?;
    sqlx::query("update registry set id = id where id = 1").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// The columns of a cluster that change.
const STATE: &str = concat!(
    "size, size_created_revision, size_modified_revision, size_version, revision, first_registered_at, formed_revision, formed_at, name, epoch, ",
    "face, cluster_id, bootstrapped_revision, earlier, strategy, dead_after_ms, learner, check_in_every_ms, paused, ",
    "tickets, ticket_holder, ticket_granted_at, ticket_purpose, ticket_member, ticket_peer_urls"
);

/// The columns of a member that change.
const MEMBER_STATE: &str = concat!(
    "registration, created_revision, modified_revision, registered_revision, version, removed_revision, client_urls, learner, started, founder, ",
    "told_run, told_at, evicted_at, downtime_until, removal_confirmed"
);

/// The columns of an event beside its cluster.
const EVENT: &str = concat!(
    "revision, at, action, subject, member_key, value, created_revision, version, previous_value, ",
    "previous_created_revision, previous_modified_revision, previous_version, while_forming, kind, message"
);

/// `a = source.a, b = source.b` for columns `a, b`.
fn assignments(columns: &str, source: &str) -> String {
    let assignments: Vec<String> = columns.split(", ").map(|column| format!("{column} = {source}.{column}")).collect();
    assignments.join(", ")
}

async fn update_clusters(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let rows: Vec<(Revision, &Cluster)> =
        writes.iter().filter_map(|write| Some((write.base?, write.after.as_deref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new(format!("with next (token, base, {STATE}) as ("));
    query.push_values(&rows, |mut row, (base, cluster)| {
        row.push_bind(cluster.token.as_str()).push_bind(stored(*base));
        push_state(&mut row, cluster);
    });
    query.push(format!(
        ") update cluster set {} from next where cluster.token = next.token and cluster.revision = next.base",
        assignments(STATE, "next")
    ));
    let updated = query.build().execute(connection).await?.rows_affected();
    if updated == rows.len() as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn insert_clusters(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let rows: Vec<&Cluster> =
        writes.iter().filter(|write| write.base.is_none()).filter_map(|write| write.after.as_deref()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Db>::new(format!("insert into cluster (id, token, created_at, {STATE}) "));
    query.push_values(rows, |mut row, cluster| {
        row.push_bind(draw_id(cluster)).push_bind(cluster.token.as_str()).push_bind(cluster.created_at.0);
        push_state(&mut row, cluster);
    });
    match query.build().execute(connection).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Conflict),
        other => Ok(other.map(drop)?),
    }
}

/// The values of [`STATE`].
fn push_state(row: &mut Separated<'_, Db, &'static str>, cluster: &Cluster) {
    let Policy { strategy, dead_after, learner, check_in_every, paused } = cluster.policy;
    row.push_bind(i64::from(cluster.size.get()))
        .push_bind(stored(cluster.size_created))
        .push_bind(stored(cluster.size_modified))
        .push_bind(cluster.size_version as i64)
        .push_bind(stored(cluster.revision))
        .push_bind(cluster.first_registered_at.map(|at| at.0))
        .push_bind(cluster.formed.map(stored))
        .push_bind(cluster.formed_at.map(|at| at.0))
        .push_bind(cluster.name.as_ref().map(|name| name.to_string()))
        .push_bind(i64::from(cluster.epoch.0))
        .push_bind(cluster.face.map(Face::as_str))
        .push_bind(cluster.cluster_id.map(|id| id.to_string()))
        .push_bind(cluster.bootstrapped.map(stored))
        .push_bind(listed(&cluster.earlier))
        .push_bind(strategy.as_str())
        .push_bind(milliseconds(dead_after))
        .push_bind(i64::from(learner))
        .push_bind(milliseconds(check_in_every))
        .push_bind(i64::from(paused))
        .push_bind(cluster.tickets as i64);
    push_ticket(row, cluster.ticket.as_ref());
}

fn push_ticket(row: &mut Separated<'_, Db, &'static str>, ticket: Option<&Ticket>) {
    let (member, peer_urls) = match ticket.map(|ticket| &ticket.purpose) {
        Some(Purpose::Join { peer_urls, replaces }) => (replaces.as_ref(), Some(peer_urls)),
        Some(Purpose::Update { member, peer_urls }) => (Some(member), Some(peer_urls)),
        Some(Purpose::Remove { member } | Purpose::Promote { member }) => (Some(member), None),
        None => (None, None),
    };
    row.push_bind(ticket.map(|ticket| ticket.holder.to_string()))
        .push_bind(ticket.map(|ticket| ticket.granted_at.0))
        .push_bind(ticket.map(|ticket| ticket.purpose.as_str()))
        .push_bind(member.map(|member| member.to_string()))
        .push_bind(peer_urls.map(|urls| listed(urls)));
}

/// Deletes clusters with all that is in them. A token that members have registered under stays as one that is
/// used up; see [`super::read::Loaded::used_up`].
async fn delete_clusters(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    for write in writes.iter().filter(|write| write.after.is_none()) {
        let Some(base) = write.base else { continue };
        let keep = "insert into used_token (token, at) select token, $2 from cluster \
                    where token = $1 and first_registered_at is not null on conflict (token) do nothing";
        let at = write.events.last().map(|event| event.at.0);
        sqlx::query(keep).bind(write.token.as_str()).bind(at).execute(&mut *connection).await?;
        let deleted = sqlx::query("delete from cluster where token = $1 and revision = $2")
            .bind(write.token.as_str())
            .bind(stored(base))
            .execute(&mut *connection)
            .await?
            .rows_affected();
        if deleted != 1 {
            return Err(StoreError::Conflict);
        }
    }
    Ok(())
}

/// The most rows of one statement: the database takes some 32,000 values at once.
const CHUNK: usize = 1_000;

/// Statements of more rows are not kept for the next time: hardly two have the same number.
const KEPT_UP_TO: usize = 128;

async fn upsert_members(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let rows: Vec<(&Cluster, &Arc<Member>)> = writes
        .iter()
        .filter_map(|write| Some((write, write.after.as_deref()?)))
        .flat_map(|(write, after)| changed_members(write, after).map(move |member| (after, member)))
        .collect();
    for rows in rows.chunks(CHUNK) {
        upsert_some_members(connection, rows).await?;
    }
    Ok(())
}

async fn upsert_some_members(
    connection: &mut SqliteConnection,
    rows: &[(&Cluster, &Arc<Member>)],
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Db>::new(format!(
        "insert into member (cluster, key, {MEMBER_STATE}) with changed (token, key, {MEMBER_STATE}) as ("
    ));
    query.push_values(rows, |mut row, (cluster, member)| {
        row.push_bind(cluster.token.as_str()).push_bind(member.key.as_str());
        push_member_state(&mut row, member);
    });
    let columns: Vec<String> = MEMBER_STATE.split(", ").map(|column| format!("changed.{column}")).collect();
    query.push(format!(
        ") select cluster.id, key, {} from changed join cluster on cluster.token = changed.token where true \
         on conflict (cluster, key) do update set {}",
        columns.join(", "),
        assignments(MEMBER_STATE, "excluded")
    ));
    query.build().persistent(rows.len() <= KEPT_UP_TO).execute(connection).await?;
    Ok(())
}

/// The values of [`MEMBER_STATE`].
fn push_member_state(row: &mut Separated<'_, Db, &'static str>, member: &Member) {
    let told = member.founder.as_ref().and_then(|founder| founder.told.as_ref());
    row.push_bind(member.registration.to_string())
        .push_bind(stored(member.created))
        .push_bind(stored(member.modified))
        .push_bind(stored(member.registered))
        .push_bind(member.version as i64)
        .push_bind(member.removed.map(|removal| stored(removal.at)))
        .push_bind(listed(&member.client_urls))
        .push_bind(i64::from(!member.is_voter()))
        .push_bind(i64::from(member.started))
        .push_bind(i64::from(member.founder.is_some()))
        .push_bind(told.map(|told| told.run.to_string()))
        .push_bind(told.map(|told| told.at.0))
        .push_bind(member.eviction.map(|at| at.0))
        .push_bind(member.downtime_until.map(|until| until.0))
        .push_bind(i64::from(member.removed.is_some_and(|removal| removal.confirmed)));
}

fn changed_members<'a>(write: &'a Write, after: &'a Cluster) -> impl Iterator<Item = &'a Arc<Member>> {
    let base = write.base.unwrap_or(Revision(0));
    after.record.iter().filter(move |member| member.modified > base)
}

async fn insert_events(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let rows: Vec<&Arc<Event>> =
        writes.iter().filter(|write| write.after.is_some()).flat_map(|write| &write.events).collect();
    for rows in rows.chunks(CHUNK) {
        insert_some_events(connection, rows).await?;
    }
    Ok(())
}

async fn insert_some_events(connection: &mut SqliteConnection, rows: &[&Arc<Event>]) -> Result<(), StoreError> {
    let mut query =
        QueryBuilder::<Db>::new(format!("insert into event (cluster, {EVENT}) with happened (token, {EVENT}) as ("));
    query.push_values(rows, |mut row, event| {
        let (subject, member_key) = match &event.subject {
            Subject::Cluster => ("cluster", None),
            Subject::Size => ("size", None),
            Subject::Member(key) => ("member", Some(key.as_str())),
            Subject::Lifecycle(key) => ("lifecycle", key.as_ref().map(MemberKey::as_str)),
        };
        let previous = event.previous.as_ref();
        row.push_bind(event.token.as_str())
            .push_bind(stored(event.revision))
            .push_bind(event.at.0)
            .push_bind(event.action.as_str())
            .push_bind(subject)
            .push_bind(member_key)
            .push_bind(event.value.as_deref())
            .push_bind(stored(event.created))
            .push_bind(event.version as i64)
            .push_bind(previous.and_then(|previous| previous.value.as_deref()))
            .push_bind(previous.map(|previous| stored(previous.created)))
            .push_bind(previous.map(|previous| stored(previous.modified)))
            .push_bind(previous.map(|previous| previous.version as i64))
            .push_bind(i64::from(event.while_forming))
            .push_bind(event.kind.as_str())
            .push_bind(event.message.as_ref());
    });
    let columns: Vec<String> = EVENT.split(", ").map(|column| format!("happened.{column}")).collect();
    query.push(format!(
        ") select cluster.id, {} from happened join cluster on cluster.token = happened.token",
        columns.join(", ")
    ));
    query.build().persistent(rows.len() <= KEPT_UP_TO).execute(connection).await?;
    Ok(())
}

/// Forgets old events, and members that were removed long ago, as the record in memory has forgotten them.
async fn forget_events(connection: &mut SqliteConnection, writes: &[Write]) -> Result<(), StoreError> {
    let passes = |write: &&Write| {
        let due = |event: &Arc<Event>| event.revision.0 > HISTORY && event.revision.0.is_multiple_of(FORGET_EVERY);
        write.events.iter().any(due)
    };
    for after in writes.iter().filter(passes).filter_map(|write| write.after.as_deref()) {
        sqlx::query("delete from event where cluster = (select id from cluster where token = $1) and revision <= $2")
            .bind(after.token.as_str())
            .bind(stored(after.revision) - HISTORY as i64)
            .execute(&mut *connection)
            .await?;
        if after.formed.is_some() {
            let forget = "delete from member where cluster = (select id from cluster where token = $1) \
                          and removed_revision < $2";
            let before = stored(after.revision) - REMEMBERED as i64;
            sqlx::query(forget).bind(after.token.as_str()).bind(before).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Time, and below it chance, so that servers that make clusters in the same millisecond hardly ever clash;
/// if they do, the later commit is a conflict and draws anew.
fn draw_id(cluster: &Cluster) -> i64 {
    const RANDOM_BITS: u32 = 20;
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    let random = u32::from_ne_bytes(random) >> (u32::BITS - RANDOM_BITS);
    (cluster.created_at.0 << RANDOM_BITS) | i64::from(random)
}

/// Revisions count single changes from 1, so they never come near the end of a BIGINT.
fn stored(revision: Revision) -> i64 {
    revision.0 as i64
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Texts in one column; none of them has a comma in it.
fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
