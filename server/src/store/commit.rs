use std::sync::{Arc, LazyLock};

use convene_lifecycle::{Cluster, Event, Member, PublicId, Revision, Token, UnixMillis};

use super::{
    RetainedHistory, Stamp, StoreError, WriteId,
    admission::write_admissions,
    columns::{CLUSTER, EVENT, MEMBER, Stored},
    compact::compact_history,
    connection::Connection,
    random::random_bits,
    statement::Statement,
    table::Table,
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
    /// The cluster in that state, if it is at hand: then columns that have not changed since are left as they are.
    pub before: Option<Arc<Cluster>>,
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

/// Writes the columns of existing clusters that have changed.
async fn update_clusters(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let rows: Vec<(Stamp, Option<&Cluster>, &Cluster)> = writes
        .iter()
        .filter_map(|write| Some((write.base?, write.before.as_deref(), write.after.as_deref()?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table
        .column("id", rows.iter().map(|(.., after)| after.id.0))
        .column("created_at", rows.iter().map(|(base, ..)| base.created_at.0))
        .column("base", rows.iter().map(|(base, ..)| base.revision.0 as i64));
    CLUSTER.add_changed(&mut table, rows.iter().map(|(_, before, after)| (*before, *after)));
    let set = table.assignments(3, "next");
    let mut update = Statement::new(format!("with next ({}) as (", table.names()));
    update.push_table(table).push(format!(
        ") update cluster set {set} from next where cluster.id = next.id and cluster.created_at = next.created_at \
         and cluster.revision = next.base"
    ));
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

/// Inserts clusters that do not exist yet.
pub(super) async fn insert_new_clusters(connection: &mut Connection, rows: &[&Cluster]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table
        .column("id", rows.iter().map(|cluster| cluster.id.0))
        .column("token", rows.iter().map(|cluster| cluster.token.as_str()))
        .column("created_at", rows.iter().map(|cluster| cluster.created_at.0));
    CLUSTER.add_known(&mut table, rows.iter().copied());
    let columns = table.names();
    let mut insert = Statement::new(format!("insert into cluster ({columns}) with next ({columns}) as ("));
    // SQLite would sort all rows in a table of its own, for nothing: no other server can be in the way.
    let order = if connection.is_shared() { " order by token" } else { "" };
    insert.push_table(table).push(format!(
        ") select * from next where not exists (select 1 from used_token where used_token.token = next.token){order}"
    ));
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

static UPDATE_MEMBER: LazyLock<String> =
    LazyLock::new(|| format!(" on conflict (cluster, key) do update set {}", MEMBER.assignments("excluded")));

async fn upsert_chunk_of_members(
    connection: &mut Connection,
    rows: &[(&Cluster, &Arc<Member>)],
) -> Result<(), StoreError> {
    let mut table = Table::new();
    table
        .column("cluster", rows.iter().map(|(cluster, _)| cluster.id.0))
        .column("key", rows.iter().map(|(_, member)| member.key.to_value()));
    MEMBER.add_known(&mut table, rows.iter().map(|(_, member)| &***member));
    let mut upsert = Statement::new(format!("insert into member ({}) ", table.names()));
    upsert.push_table(table).push(&**UPDATE_MEMBER);
    connection.execute(upsert).await?;
    Ok(())
}

fn changed_members<'a>(write: &'a ClusterWrite, after: &'a Cluster) -> impl Iterator<Item = &'a Arc<Member>> {
    let base = write.base.map_or(Revision(0), |base| base.revision);
    after.record.iter().filter(move |member| member.modified > base)
}

/// Inserts the events of clusters that are not deleted.
pub(super) async fn insert_events(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let written = writes.iter().filter_map(|write| Some((write, write.after.as_deref()?)));
    let rows: Vec<(&Cluster, WriteId, &Event)> = written
        .flat_map(|(write, after)| write.events.iter().map(move |event| (after, write.write_id, &**event)))
        .collect();
    for rows in rows.chunks(CHUNK) {
        insert_chunk_of_events(connection, rows).await?;
    }
    Ok(())
}

async fn insert_chunk_of_events(
    connection: &mut Connection,
    rows: &[(&Cluster, WriteId, &Event)],
) -> Result<(), StoreError> {
    let mut table = Table::new();
    table
        .column("cluster", rows.iter().map(|(cluster, ..)| cluster.id.0))
        .column("write_id", rows.iter().map(|(_, WriteId(id), _)| *id));
    EVENT.add_known(&mut table, rows.iter().map(|(.., event)| *event));
    let mut insert = Statement::new(format!("insert into event ({}) ", table.names()));
    insert.push_table(table);
    connection.execute(insert).await?;
    Ok(())
}

/// The random part of a public ID, in bits. The rest is the time. [`super::Abandoned`] relies on that.
pub(super) const RANDOM_BITS: u32 = 20;

/// Draws the public ID of a new cluster, which is its key in the database and grows with time. Servers that create clusters in
/// the same millisecond hardly ever draw the same; if they do, the later commit is a conflict and draws again.
pub fn draw_public_id(created_at: UnixMillis) -> PublicId {
    PublicId((created_at.0 << RANDOM_BITS) | random_bits() & ((1 << RANDOM_BITS) - 1))
}
