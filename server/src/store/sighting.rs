use std::collections::HashSet;

use convene_lifecycle::{MemberKey, Token, UnixMillis};
use sqlx::{Connection, QueryBuilder, Row, SqliteConnection};

use super::{Db, Store, StoreError, read::parse};

/// The most rows of one statement.
const CHUNK: usize = 1_000;

/// When a member was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its cluster.
    pub token: Token,
    /// The member.
    pub member: MemberKey,
    /// When.
    pub at: UnixMillis,
}

impl Store {
    /// Writes down when members were last heard of, all with one fsync. Those whose cluster is gone are left out.
    pub async fn write_sightings(&self, sightings: &[Sighting]) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = writer.connect(&self.path).await?;
        let result = upsert(connection, sightings).await;
        writer.lose_if_failed(&result);
        result
    }

    /// When a cluster's members were last heard of, as far as it was written down.
    pub async fn sightings(&self, token: &Token) -> Result<Vec<Sighting>, StoreError> {
        let rows = sqlx::query(
            "select member_key, at from sighting join cluster on cluster.id = sighting.cluster where token = $1",
        )
        .bind(token.as_str())
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let member = parse("sighting.member_key", row.try_get("member_key")?)?;
            Ok(Sighting { token: token.clone(), member, at: UnixMillis(row.try_get("at")?) })
        };
        rows.iter().map(read).collect()
    }
}

async fn upsert(connection: &mut SqliteConnection, sightings: &[Sighting]) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("begin immediate").await?;
    for chunk in sightings.chunks(CHUNK) {
        let mut query = QueryBuilder::<Db>::new(
            "insert into sighting (cluster, member_key, at) with heard (token, member_key, at) as (",
        );
        query.push_values(chunk, |mut row, sighting| {
            row.push_bind(sighting.token.as_str()).push_bind(sighting.member.as_str()).push_bind(sighting.at.0);
        });
        query.push(
            ") select cluster.id, member_key, at from heard join cluster on cluster.token = heard.token where true \
             on conflict (cluster, member_key) do update set at = excluded.at",
        );
        query.build().persistent(false).execute(&mut *tx).await?;
        forget(&mut tx, chunk).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Deletes what was written of members that are not even on record as removed any more, in the clusters of these
/// sightings.
async fn forget(connection: &mut SqliteConnection, sightings: &[Sighting]) -> Result<(), StoreError> {
    let tokens: HashSet<&str> = sightings.iter().map(|sighting| sighting.token.as_str()).collect();
    let mut query =
        QueryBuilder::<Db>::new("delete from sighting where cluster in (select id from cluster where token in (");
    let mut listed = query.separated(", ");
    for token in tokens {
        listed.push_bind(token);
    }
    query.push(
        ")) and not exists \
         (select 1 from member where member.cluster = sighting.cluster and member.key = sighting.member_key)",
    );
    query.build().persistent(false).execute(connection).await?;
    Ok(())
}
