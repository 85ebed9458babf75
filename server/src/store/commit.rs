use std::sync::{Arc, LazyLock};

use convene_lifecycle::{Cluster, Event, Member, PublicId, Revision, Token, UnixMillis};

use super::{
    RetainedHistory, Stamp, StoreError, WriteId,
    admission::write_admissions,
    columns::{CLUSTER, EVENT, MEMBER, Stored},
    compact::compact_history,
    connection::Connection,
    statement::Statement,
};

/// The most rows of members or events in one statement, because a database limits the number of its values (SQLite: 32,766).
const CHUNK: usize = 128;

/// What one commit does to one cluster.
#[derive(Debug)]
pub struct ClusterWrite {
    /// The cluster's token.
    pub token: Token,
    /// The state that the decisions are based on; `None` if there was no cluster.
    pub base: Option<Stamp>,
    /// The cluster after the commit; `None` if it is deleted.
    pub after: Option<Arc<Cluster>>,
    /// The events of the change, oldest first, at least one.
    pub events: Vec<Arc<Event>>,
    /// The ID of this write.
    pub write_id: WriteId,
}

/// See [`super::Transaction::write`].
pub(super) async fn write_all(
    connection: &mut Connection,
    writes: &[ClusterWrite],
    history: RetainedHistory,
) -> Result<(), StoreError> {
    update_clusters(connection, writes).await?;
    insert_clusters(connection, writes).await?;
    delete_clusters(connection, writes).await?;
    upsert_members(connection, writes).await?;
    write_admissions(connection, writes).await?;
    insert_events(connection, writes).await?;
    compact_history(connection, writes, history).await
}

static UPDATE_CLUSTERS: LazyLock<[String; 2]> = LazyLock::new(|| {
    [
        format!("with next (token, created_at, base, {}) as (", CLUSTER.names()),
        format!(
            ") update cluster set {} from next where cluster.token = next.token and cluster.created_at = next.created_at \
             and cluster.revision = next.base",
            CLUSTER.assignments("next")
        ),
    ]
});

async fn update_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let rows: Vec<(Stamp, &Cluster)> =
        writes.iter().filter_map(|write| Some((write.base?, write.after.as_deref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let [before_rows, after_rows] = &*UPDATE_CLUSTERS;
    let mut update = Statement::new(before_rows);
    update.push_rows(&rows, |row, (base, cluster)| {
        row.value(cluster.token.to_value()).value(base.created_at.0).value(base.revision.0 as i64);
        CLUSTER.write(cluster, row);
    });
    update.push(after_rows);
    let updated = connection.execute(update).await?;
    if updated == rows.len() as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Inserts clusters in the order of their tokens, so that servers that insert the same ones at the same time can't deadlock.
async fn insert_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let new = writes.iter().filter(|write| write.base.is_none());
    let mut clusters: Vec<&Cluster> = new.filter_map(|write| write.after.as_deref()).collect();
    clusters.sort_unstable_by(|one, other| one.token.cmp(&other.token));
    insert_new_clusters(connection, &clusters).await
}

static INSERT_CLUSTERS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let columns = format!("id, token, created_at, {}", CLUSTER.names());
    [
        format!("insert into cluster ({columns}) with next ({columns}) as ("),
        // By name: the statement must not depend on the order in which a database has got its columns.
        format!(
            ") select {columns} from next \
             where not exists (select 1 from used_token where used_token.token = next.token) order by token"
        ),
    ]
});

/// Inserts clusters that do not exist yet.
pub(super) async fn insert_new_clusters(connection: &mut Connection, rows: &[&Cluster]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let [before_rows, after_rows] = &*INSERT_CLUSTERS;
    let mut insert = Statement::new(before_rows);
    insert.push_rows(rows, |row, cluster| {
        row.value(cluster.id.0).value(cluster.token.to_value()).value(cluster.created_at.0);
        CLUSTER.write(cluster, row);
    });
    insert.push(after_rows);
    match connection.execute(insert).await {
        Ok(inserted) if inserted == rows.len() as u64 => Ok(()),
        Ok(_) => Err(StoreError::Conflict),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Conflict),
        Err(error) => Err(error.into()),
    }
}

/// Deletes clusters with all their rows in other tables. The token of one that had members is kept as used; see
/// [`super::LoadedClusters::used_up`].
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
            .bind(base.revision.0 as i64);
        if connection.execute(delete).await? != 1 {
            return Err(StoreError::Conflict);
        }
    }
    Ok(())
}

/// Writes the members that have changed since the base.
pub(super) async fn upsert_members(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let rows: Vec<(&Cluster, &Arc<Member>)> = writes
        .iter()
        .filter_map(|write| Some((write, write.after.as_deref()?)))
        .flat_map(|(write, after)| changed_members(write, after).map(move |member| (after, member)))
        .collect();
    for rows in rows.chunks(CHUNK) {
        upsert_chunk_of_members(connection, rows).await?;
    }
    Ok(())
}

static UPSERT_MEMBERS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let columns = MEMBER.names();
    [
        format!("insert into member (cluster, key, {columns}) with changed (token, key, {columns}) as ("),
        format!(
            ") select cluster.id, key, {} from changed join cluster on cluster.token = changed.token where true \
             on conflict (cluster, key) do update set {}",
            MEMBER.names_of("changed"),
            MEMBER.assignments("excluded")
        ),
    ]
});

async fn upsert_chunk_of_members(
    connection: &mut Connection,
    rows: &[(&Cluster, &Arc<Member>)],
) -> Result<(), StoreError> {
    let [before_rows, after_rows] = &*UPSERT_MEMBERS;
    let mut upsert = Statement::new(before_rows);
    upsert.push_rows(rows, |row, (cluster, member)| {
        row.value(cluster.token.to_value()).value(member.key.to_value());
        MEMBER.write(member, row);
    });
    upsert.push(after_rows);
    connection.execute(upsert).await?;
    Ok(())
}

fn changed_members<'a>(write: &'a ClusterWrite, after: &'a Cluster) -> impl Iterator<Item = &'a Arc<Member>> {
    let base = write.base.map_or(Revision(0), |base| base.revision);
    after.record.iter().filter(move |member| member.modified > base)
}

/// Inserts the events of clusters that are not deleted.
pub(super) async fn insert_events(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let written = writes.iter().filter(|write| write.after.is_some());
    let rows: Vec<(&Arc<Event>, WriteId)> =
        written.flat_map(|write| write.events.iter().map(|event| (event, write.write_id))).collect();
    for rows in rows.chunks(CHUNK) {
        insert_chunk_of_events(connection, rows).await?;
    }
    Ok(())
}

static INSERT_EVENTS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let columns = EVENT.names();
    [
        format!("insert into event (cluster, write_id, {columns}) with happened (token, write_id, {columns}) as ("),
        format!(
            ") select cluster.id, happened.write_id, {} from happened join cluster on cluster.token = happened.token",
            EVENT.names_of("happened")
        ),
    ]
});

async fn insert_chunk_of_events(
    connection: &mut Connection,
    rows: &[(&Arc<Event>, WriteId)],
) -> Result<(), StoreError> {
    let [before_rows, after_rows] = &*INSERT_EVENTS;
    let mut insert = Statement::new(before_rows);
    insert.push_rows(rows, |row, (event, write_id)| {
        row.value(event.token.to_value()).value(write_id.0);
        EVENT.write(event, row);
    });
    insert.push(after_rows);
    connection.execute(insert).await?;
    Ok(())
}

/// The random part of a public ID, in bits. The rest is the time.
pub(super) const RANDOM_BITS: u32 = 20;

/// Draws the public ID of a new cluster, which is its key in the database and grows with time. Servers that create clusters in
/// the same millisecond hardly ever draw the same; if they do, the later commit is a conflict and draws again.
pub fn draw_public_id(created_at: UnixMillis) -> PublicId {
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    let random = u32::from_ne_bytes(random) >> (u32::BITS - RANDOM_BITS);
    PublicId((created_at.0 << RANDOM_BITS) | i64::from(random))
}
