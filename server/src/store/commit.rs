use std::{sync::Arc, time::Duration};

use convene_lifecycle::{
    Cluster, Event, Member, MemberKey, Policy, Protocol, Purpose, RETAINED_REVISIONS, Revision, Subject, Ticket, Token,
};

use super::{
    Stamp, StoreError,
    connection::Connection,
    statement::{RowOf, Statement},
};

/// A cluster's events from this many revisions back are kept, for those who wait from an index: as
/// many as etcd's v2 store keeps for all keys together.
const HISTORY: u64 = 1000;

/// Old events are dropped every so many revisions, so that most commits need no statement for it.
const FORGET_EVERY: u64 = 100;

/// What one commit does to one cluster: takes it from a revision that was read before to a new state.
#[derive(Debug)]
pub struct ClusterWrite {
    /// Which cluster.
    pub token: Token,
    /// What the decisions were made on; `None` means that there was no such cluster.
    pub base: Option<Stamp>,
    /// The cluster from now on; `None` means that it is deleted.
    pub after: Option<Arc<Cluster>>,
    /// What happened to it, oldest first; at least one.
    pub events: Vec<Arc<Event>>,
}

/// Writes changes; see [`super::Transaction::write`].
pub(super) async fn write_all(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    update_clusters(connection, writes).await?;
    insert_clusters(connection, writes).await?;
    delete_clusters(connection, writes).await?;
    upsert_members(connection, writes).await?;
    insert_events(connection, writes).await?;
    forget_events(connection, writes).await
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

async fn update_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let rows: Vec<(Stamp, &Cluster)> =
        writes.iter().filter_map(|write| Some((write.base?, write.after.as_deref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut update = Statement::new(format!("with next (token, created_at, base, {STATE}) as ("));
    update.push_rows(&rows, |row, (base, cluster)| {
        row.value(cluster.token.as_str()).value(base.created_at.0).value(stored(base.revision));
        push_state(row, cluster);
    });
    update.push(") update cluster set ").push(&assignments(STATE, "next")).push(
        " from next where cluster.token = next.token and cluster.created_at = next.created_at \
         and cluster.revision = next.base",
    );
    let updated = connection.execute(update).await?;
    if updated == rows.len() as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Makes clusters, in the order of their tokens: servers that make the same ones at once then wait for each other in
/// turn, and not in a circle.
async fn insert_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let made = writes.iter().filter(|write| write.base.is_none());
    let mut rows: Vec<&Cluster> = made.filter_map(|write| write.after.as_deref()).collect();
    rows.sort_unstable_by(|one, other| one.token.cmp(&other.token));
    let rows: Vec<(i64, &Cluster)> = rows.into_iter().map(|cluster| (draw_id(cluster), cluster)).collect();
    insert_clusters_as(connection, &rows).await
}

/// Makes clusters, each under an inner ID.
pub(super) async fn insert_clusters_as(
    connection: &mut Connection,
    rows: &[(i64, &Cluster)],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = Statement::new(format!(
        "insert into cluster (id, token, created_at, {STATE}) with next (id, token, created_at, {STATE}) as ("
    ));
    insert.push_rows(rows, |row, (id, cluster)| {
        row.value(*id).value(cluster.token.as_str()).value(cluster.created_at.0);
        push_state(row, cluster);
    });
    insert.push(
        ") select * from next where not exists (select 1 from used_token where used_token.token = next.token) \
         order by token",
    );
    match connection.execute(insert).await {
        Ok(inserted) if inserted == rows.len() as u64 => Ok(()),
        Ok(_) => Err(StoreError::Conflict),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Conflict),
        Err(error) => Err(error.into()),
    }
}

/// The values of [`STATE`].
fn push_state<'a>(row: &mut RowOf<'_, 'a>, cluster: &'a Cluster) {
    let Policy { strategy, dead_after, learner, check_in_every, paused } = cluster.policy;
    row.value(i64::from(cluster.size.get()))
        .value(stored(cluster.size_created))
        .value(stored(cluster.size_modified))
        .value(cluster.size_version as i64)
        .value(stored(cluster.revision))
        .value(cluster.first_registered_at.map(|at| at.0))
        .value(cluster.formed.map(stored))
        .value(cluster.formed_at.map(|at| at.0))
        .value(cluster.name.as_ref().map(|name| name.to_string()))
        .value(i64::from(cluster.epoch.0))
        .value(cluster.protocol.map(Protocol::as_str))
        .value(cluster.cluster_id.map(|id| id.to_string()))
        .value(cluster.bootstrapped.map(stored))
        .value(listed(&cluster.earlier_cluster_ids))
        .value(strategy.as_str())
        .value(milliseconds(dead_after))
        .value(i64::from(learner))
        .value(milliseconds(check_in_every))
        .value(i64::from(paused))
        .value(cluster.tickets as i64);
    push_ticket(row, cluster.ticket.as_ref());
}

fn push_ticket<'a>(row: &mut RowOf<'_, 'a>, ticket: Option<&'a Ticket>) {
    let (member, peer_urls) = match ticket.map(|ticket| &ticket.purpose) {
        Some(Purpose::Join { peer_urls, replaces }) => (replaces.as_ref(), Some(peer_urls)),
        Some(Purpose::Update { member, peer_urls }) => (Some(member), Some(peer_urls)),
        Some(Purpose::Remove { member } | Purpose::Promote { member }) => (Some(member), None),
        None => (None, None),
    };
    row.value(ticket.map(|ticket| ticket.holder.to_string()))
        .value(ticket.map(|ticket| ticket.granted_at.0))
        .value(ticket.map(|ticket| ticket.purpose.as_str()))
        .value(member.map(|member| member.to_string()))
        .value(peer_urls.map(|urls| listed(urls)));
}

/// Deletes clusters with all that is in them. A token that members have registered under stays as one that is
/// used up; see [`super::read::LoadedClusters::used_up`].
async fn delete_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    for write in writes.iter().filter(|write| write.after.is_none()) {
        let Some(base) = write.base else { continue };
        let keep = "insert into used_token (token, at) select token, $2 from cluster \
                    where token = $1 and first_registered_at is not null on conflict (token) do nothing";
        let at = write.events.last().map(|event| event.at.0);
        connection.execute(Statement::new(keep).bind(write.token.as_str()).bind(at)).await?;
        let delete = Statement::new("delete from cluster where token = $1 and created_at = $2 and revision = $3")
            .bind(write.token.as_str())
            .bind(base.created_at.0)
            .bind(stored(base.revision));
        if connection.execute(delete).await? != 1 {
            return Err(StoreError::Conflict);
        }
    }
    Ok(())
}

/// The most rows of one statement, so that it has fewer values than a database takes (32,766 with SQLite).
const CHUNK: usize = 128;

pub(super) async fn upsert_members(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
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

async fn upsert_some_members(connection: &mut Connection, rows: &[(&Cluster, &Arc<Member>)]) -> Result<(), StoreError> {
    let mut upsert = Statement::new(format!(
        "insert into member (cluster, key, {MEMBER_STATE}) with changed (token, key, {MEMBER_STATE}) as ("
    ));
    upsert.push_rows(rows, |row, (cluster, member)| {
        row.value(cluster.token.as_str()).value(member.key.as_str());
        push_member_state(row, member);
    });
    let columns: Vec<String> = MEMBER_STATE.split(", ").map(|column| format!("changed.{column}")).collect();
    upsert.push(&format!(
        ") select cluster.id, key, {} from changed join cluster on cluster.token = changed.token where true \
         on conflict (cluster, key) do update set {}",
        columns.join(", "),
        assignments(MEMBER_STATE, "excluded")
    ));
    connection.execute(upsert).await?;
    Ok(())
}

/// The values of [`MEMBER_STATE`].
fn push_member_state<'a>(row: &mut RowOf<'_, 'a>, member: &'a Member) {
    let told = member.founder.as_ref().and_then(|founder| founder.issued.as_ref());
    row.value(member.registration.to_string())
        .value(stored(member.created))
        .value(stored(member.modified))
        .value(stored(member.registered))
        .value(member.version as i64)
        .value(member.removed.map(|removal| stored(removal.at)))
        .value(listed(&member.client_urls))
        .value(i64::from(!member.is_voter()))
        .value(i64::from(member.started))
        .value(i64::from(member.founder.is_some()))
        .value(told.map(|told| told.run.to_string()))
        .value(told.map(|told| told.at.0))
        .value(member.eviction.map(|at| at.0))
        .value(member.downtime_until.map(|until| until.0))
        .value(i64::from(member.removed.is_some_and(|removal| removal.confirmed)));
}

fn changed_members<'a>(write: &'a ClusterWrite, after: &'a Cluster) -> impl Iterator<Item = &'a Arc<Member>> {
    let base = write.base.map_or(Revision(0), |base| base.revision);
    after.record.iter().filter(move |member| member.modified > base)
}

pub(super) async fn insert_events(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let rows: Vec<&Arc<Event>> =
        writes.iter().filter(|write| write.after.is_some()).flat_map(|write| &write.events).collect();
    for rows in rows.chunks(CHUNK) {
        insert_some_events(connection, rows).await?;
    }
    Ok(())
}

async fn insert_some_events(connection: &mut Connection, rows: &[&Arc<Event>]) -> Result<(), StoreError> {
    let mut insert =
        Statement::new(format!("insert into event (cluster, {EVENT}) with happened (token, {EVENT}) as ("));
    insert.push_rows(rows, |row, event| {
        let (subject, member_key) = match &event.subject {
            Subject::Cluster => ("cluster", None),
            Subject::Size => ("size", None),
            Subject::Member(key) => ("member", Some(key.as_str())),
            Subject::Lifecycle(key) => ("lifecycle", key.as_ref().map(MemberKey::as_str)),
        };
        let previous = event.previous.as_ref();
        row.value(event.token.as_str())
            .value(stored(event.revision))
            .value(event.at.0)
            .value(event.action.as_str())
            .value(subject)
            .value(member_key)
            .value(event.value.as_deref())
            .value(stored(event.created))
            .value(event.version as i64)
            .value(previous.and_then(|previous| previous.value.as_deref()))
            .value(previous.map(|previous| stored(previous.created)))
            .value(previous.map(|previous| stored(previous.modified)))
            .value(previous.map(|previous| previous.version as i64))
            .value(i64::from(event.while_forming))
            .value(event.kind.as_str())
            .value(event.message.as_ref());
    });
    let columns: Vec<String> = EVENT.split(", ").map(|column| format!("happened.{column}")).collect();
    insert.push(&format!(
        ") select cluster.id, {} from happened join cluster on cluster.token = happened.token",
        columns.join(", ")
    ));
    connection.execute(insert).await?;
    Ok(())
}

/// Forgets old events, and members that were removed long ago, as the record in memory has forgotten them.
async fn forget_events(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let passes = |write: &&ClusterWrite| {
        let due = |event: &Arc<Event>| event.revision.0 > HISTORY && event.revision.0.is_multiple_of(FORGET_EVERY);
        write.events.iter().any(due)
    };
    for after in writes.iter().filter(passes).filter_map(|write| write.after.as_deref()) {
        let forget = "delete from event where cluster = (select id from cluster where token = $1) and revision <= $2";
        let before = stored(after.revision) - HISTORY as i64;
        connection.execute(Statement::new(forget).bind(after.token.as_str()).bind(before)).await?;
        if after.formed.is_some() {
            let forget = "delete from member where cluster = (select id from cluster where token = $1) \
                          and removed_revision < $2";
            let before = stored(after.revision) - RETAINED_REVISIONS as i64;
            connection.execute(Statement::new(forget).bind(after.token.as_str()).bind(before)).await?;
        }
    }
    Ok(())
}

/// How much of an inner ID is not time.
pub(super) const RANDOM_BITS: u32 = 20;

/// Time, and below it chance, so that servers that make clusters in the same millisecond hardly ever clash;
/// if they do, the later commit is a conflict and draws anew.
fn draw_id(cluster: &Cluster) -> i64 {
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
