use std::sync::Arc;

use convene_lifecycle::{Cluster, Event, REMOVED_MEMBER_RETENTION};

use super::{ClusterWrite, StoreError, connection::Connection, statement::Statement};

/// How many revisions of a cluster's events are kept for reads, waits and watches from an earlier revision. etcd's v2 store
/// keeps as many events for all keys together (`v2store/store.go:newStore`).
const RETAINED_EVENTS: u64 = 1000;

/// How often old events are deleted, in revisions, so that most commits need no statement for that.
const COMPACT_EVERY: u64 = 100;

/// Compacts the history of clusters: deletes events that are more than [`RETAINED_EVENTS`] revisions old.
pub(super) async fn compact_history(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let is_due = |write: &&ClusterWrite| {
        let is_due =
            |event: &Arc<Event>| event.revision.0 > RETAINED_EVENTS && event.revision.0.is_multiple_of(COMPACT_EVERY);
        write.events.iter().any(is_due)
    };
    for after in writes.iter().filter(is_due).filter_map(|write| write.after.as_deref()) {
        let events = "delete from event where cluster = (select id from cluster where token = $1) and revision <= $2";
        let oldest = after.revision.0 as i64 - RETAINED_EVENTS as i64;
        connection.execute(Statement::new(events).bind(after.token.as_str()).bind(oldest)).await?;
        delete_members_past_retention(connection, after).await?;
    }
    Ok(())
}

/// Deletes the removed members that the cluster's record in memory has dropped; see [`REMOVED_MEMBER_RETENTION`].
async fn delete_members_past_retention(connection: &mut Connection, cluster: &Cluster) -> Result<(), StoreError> {
    if cluster.formed.is_none() {
        return Ok(());
    }
    let delete =
        "delete from member where cluster = (select id from cluster where token = $1) and removed_revision < $2";
    let oldest = cluster.revision.0 as i64 - REMOVED_MEMBER_RETENTION as i64;
    connection.execute(Statement::new(delete).bind(cluster.token.as_str()).bind(oldest)).await?;
    Ok(())
}
