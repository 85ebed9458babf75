use std::sync::Arc;

use convene_lifecycle::{
    Cluster, ClusterSize, Event, Member, Previous, Registration, Revision, Subject, Token, UnixMillis,
};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{Store, StoreError};

impl Store {
    /// A cluster as it is now, or `None` if there is none of that name.
    pub async fn load(&self, token: &Token) -> Result<Option<Cluster>, StoreError> {
        // One transaction, so that cluster and members are of the same revision.
        let mut tx = self.readers.begin().await?;
        let row: Option<ClusterRow> = sqlx::query_as("select * from cluster where token = $1")
            .bind(token.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let members: Vec<MemberRow> = sqlx::query_as("select * from member where token = $1 order by created_revision")
            .bind(token.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let record = members.into_iter().map(|row| row.into_member().map(Arc::new)).collect::<Result<_, _>>()?;
        row.into_cluster(token.clone(), record).map(Some)
    }

    /// A cluster's events from a revision on, oldest first, at most `limit`. They have no gaps: if the
    /// first is later than `from`, then older ones have been forgotten.
    pub async fn events(&self, token: &Token, from: Revision, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        let rows = sqlx::query("select * from event where token = $1 and revision >= $2 order by revision limit $3")
            .bind(token.as_str())
            .bind(i64::try_from(from.0).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| event(token, row).map(Arc::new)).collect()
    }

    /// Tokens that were created before a moment and that nobody ever registered under, at most `limit`.
    pub async fn unregistered(&self, before: UnixMillis, limit: u32) -> Result<Vec<Token>, StoreError> {
        let tokens: Vec<String> = sqlx::query_scalar(
            "select token from cluster where first_registered_at is null and created_at < $1 limit $2",
        )
        .bind(before.0)
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        tokens.iter().map(|token| parse("token", token)).collect()
    }
}

#[derive(FromRow)]
struct ClusterRow {
    size: i64,
    size_created_revision: i64,
    size_modified_revision: i64,
    revision: i64,
    created_at: i64,
    first_registered_at: Option<i64>,
    formed_revision: Option<i64>,
}

impl ClusterRow {
    fn into_cluster(self, token: Token, record: Vec<Arc<Member>>) -> Result<Cluster, StoreError> {
        let size = u32::try_from(self.size).ok().and_then(ClusterSize::new);
        Ok(Cluster {
            token,
            size: size.ok_or_else(|| corrupt("cluster.size", self.size))?,
            size_created: revision(self.size_created_revision)?,
            size_modified: revision(self.size_modified_revision)?,
            revision: revision(self.revision)?,
            created_at: UnixMillis(self.created_at),
            first_registered_at: self.first_registered_at.map(UnixMillis),
            formed: self.formed_revision.map(revision).transpose()?,
            record,
        })
    }
}

#[derive(FromRow)]
struct MemberRow {
    key: String,
    registration: String,
    created_revision: i64,
    modified_revision: i64,
    removed_revision: Option<i64>,
}

impl MemberRow {
    fn into_member(self) -> Result<Member, StoreError> {
        Ok(Member {
            key: parse("member.key", &self.key)?,
            registration: Registration::parse(&self.registration)
                .map_err(|error| corrupt("member.registration", error))?,
            created: revision(self.created_revision)?,
            modified: revision(self.modified_revision)?,
            removed: self.removed_revision.map(revision).transpose()?,
        })
    }
}

fn event(token: &Token, row: &SqliteRow) -> Result<Event, StoreError> {
    let subject: &str = row.try_get("subject")?;
    let member_key: Option<&str> = row.try_get("member_key")?;
    let subject = match (subject, member_key) {
        ("cluster", None) => Subject::Cluster,
        ("size", None) => Subject::Size,
        ("member", Some(key)) => Subject::Member(parse("event.member_key", key)?),
        (other, _) => return Err(corrupt("event.subject", other)),
    };
    let previous_created: Option<i64> = row.try_get("previous_created_revision")?;
    let previous_modified: Option<i64> = row.try_get("previous_modified_revision")?;
    let previous = match (previous_created, previous_modified) {
        (Some(created), Some(modified)) => Some(Previous {
            value: row.try_get("previous_value")?,
            created: revision(created)?,
            modified: revision(modified)?,
        }),
        _ => None,
    };
    Ok(Event {
        token: token.clone(),
        revision: revision(row.try_get("revision")?)?,
        at: UnixMillis(row.try_get("at")?),
        action: parse("event.action", row.try_get("action")?)?,
        subject,
        value: row.try_get("value")?,
        created: revision(row.try_get("created_revision")?)?,
        previous,
        while_forming: row.try_get::<i64, _>("while_forming")? != 0,
    })
}

fn revision(stored: i64) -> Result<Revision, StoreError> {
    u64::try_from(stored).map(Revision).map_err(|error| corrupt("revision", error))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(column, error))
}

fn corrupt(column: &'static str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { column, reason: reason.to_string() }
}
