use std::sync::Arc;

use convene_lifecycle::{Cluster, Event, REMOVED_MEMBER_RETENTION};

use super::{ClusterWrite, StoreError, connection::Connection, statement::Statement};

/// How many revisions of a cluster's events are kept for reads, waits and watches from an earlier revision. etcd's v2 store
/// keeps as many events for all keys together (`v2store/store.go:newStore`).
const RETAINED_EVENTS: u64 = 1000;

/// How often old events are deleted, in revisions, so that most commits need no statement for that.
const COMPACT_EVERY: u64 = 100;

/// How often the bytes of a history are counted, in revisions. An event may have 9 KiB.
const COUNT_BYTES_EVERY: u64 = 16;

/// The bytes of a history that is so short that they are counted at each revision.
const SHORT: u64 = 64 << 10;

/// How many bytes the texts of a cluster's events may have. Older events are deleted, but never the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedHistory {
    existing: Retained,
    forming: Retained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retained {
    bytes: u64,
    count_every: u64,
}

impl RetainedHistory {
    /// So many bytes of a cluster that was seen to exist, and of one that was not.
    pub fn of(existing: u64, forming: u64) -> Self {
        let retained = |bytes| Retained { bytes, count_every: if bytes < SHORT { 1 } else { COUNT_BYTES_EVERY } };
        Self { existing: retained(existing), forming: retained(forming) }
    }

    fn of_cluster(self, cluster: &Cluster) -> Retained {
        if cluster.bootstrapped.is_some() { self.existing } else { self.forming }
    }
}

/// Compacts the history of clusters: deletes events that are more than [`RETAINED_EVENTS`] revisions old, and those beyond the bytes
/// that are retained.
pub(super) async fn compact_history(
    connection: &mut Connection,
    writes: &[ClusterWrite],
    history: RetainedHistory,
) -> Result<(), StoreError> {
    delete_beyond_bytes(connection, writes, history).await?;
    let is_due =
        |event: &Arc<Event>| event.revision.0 > RETAINED_EVENTS && event.revision.0.is_multiple_of(COMPACT_EVERY);
    for after in due(writes, is_due) {
        let events = "delete from event where cluster = (select id from cluster where token = $1) and revision <= $2";
        let oldest = after.revision.0 as i64 - RETAINED_EVENTS as i64;
        connection.execute(Statement::new(events).bind(after.token.as_str()).bind(oldest)).await?;
        delete_members_past_retention(connection, after).await?;
    }
    Ok(())
}

async fn delete_beyond_bytes(
    connection: &mut Connection,
    writes: &[ClusterWrite],
    history: RetainedHistory,
) -> Result<(), StoreError> {
    for write in writes {
        let Some(after) = &write.after else { continue };
        let Retained { bytes, count_every } = history.of_cluster(after);
        if !write.events.iter().any(|event| event.revision.0.is_multiple_of(count_every)) {
            continue;
        }
        let limit = i64::try_from(bytes).unwrap_or(i64::MAX);
        let events = "delete from event where cluster = (select id from cluster where token = $1) and revision < $2 \
                      and revision <= (select max(revision) from (select revision, sum(octet_length(message) \
                      + coalesce(octet_length(value), 0) + coalesce(octet_length(previous_value), 0)) \
                      over (order by revision desc) as bytes from event \
                      where cluster = (select id from cluster where token = $1)) as history where bytes > $3)";
        let delete = Statement::new(events).bind(after.token.as_str()).bind(after.revision.0 as i64).bind(limit);
        connection.execute(delete).await?;
    }
    Ok(())
}

/// The changed clusters with an event at which something is due.
fn due(writes: &[ClusterWrite], is_due: impl Fn(&Arc<Event>) -> bool) -> impl Iterator<Item = &Cluster> {
    writes.iter().filter(move |write| write.events.iter().any(&is_due)).filter_map(|write| write.after.as_deref())
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
