use std::collections::HashSet;

use convene_lifecycle::{MemberKey, Token, UnixMillis};

use super::{
    Store, StoreError,
    connection::{Connection, Row},
    read::parse,
    statement::Statement,
};

/// The most rows of one statement.
pub(super) const CHUNK: usize = 1_000;

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
        let mut transaction = self.begin().await?;
        for chunk in sightings.chunks(CHUNK) {
            upsert(transaction.connection(), chunk).await?;
            forget(transaction.connection(), chunk).await?;
        }
        transaction.commit().await
    }

    /// When a cluster's members were last heard of, as far as it was written down.
    pub async fn sightings(&self, token: &Token) -> Result<Vec<Sighting>, StoreError> {
        let text = "select member_key, at from sighting join cluster on cluster.id = sighting.cluster where token = $1 \
                    order by member_key";
        let statement = Statement::new(text).bind(token.as_str());
        let rows = self.read(async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        let read = |row: &Row| {
            let member = parse("sighting", "member_key", row.try_get("member_key")?)?;
            Ok(Sighting { token: token.clone(), member, at: UnixMillis(row.try_get("at")?) })
        };
        rows.iter().map(read).collect()
    }
}

pub(super) async fn upsert(connection: &mut Connection, sightings: &[Sighting]) -> Result<(), StoreError> {
    let mut statement =
        Statement::new("insert into sighting (cluster, member_key, at) with heard (token, member_key, at) as (");
    statement.push_rows(sightings, |row, sighting| {
        row.value(sighting.token.as_str()).value(sighting.member.as_str()).value(sighting.at.0);
    });
    statement.push(
        ") select cluster.id, member_key, at from heard join cluster on cluster.token = heard.token where true \
         on conflict (cluster, member_key) do update set at = excluded.at",
    );
    connection.execute(statement.keep(false)).await?;
    Ok(())
}

/// Deletes what was written of members that are not even on record as removed any more, in the clusters of these
/// sightings.
async fn forget(connection: &mut Connection, sightings: &[Sighting]) -> Result<(), StoreError> {
    let tokens: HashSet<&str> = sightings.iter().map(|sighting| sighting.token.as_str()).collect();
    let mut statement = Statement::new("delete from sighting where cluster in (select id from cluster where token in ");
    statement.push_list(tokens).push(
        ") and not exists \
         (select 1 from member where member.cluster = sighting.cluster and member.key = sighting.member_key)",
    );
    connection.execute(statement.keep(false)).await?;
    Ok(())
}
