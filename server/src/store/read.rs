use std::{collections::HashMap, fmt::Display, str::FromStr, sync::Arc, time::Duration};

use super::{
    Store, StoreError,
    connection::{Connection, Row},
    statement::Statement,
};
use convene_lifecycle::{
    BootstrapIssued, Cluster, ClusterSize, Discovery, Epoch, Event, Founder, Member, MemberKey, Policy, Previous,
    Protocol, Purpose, Registration, Removal, Revision, Role, Subject, Ticket, Token, UnixMillis,
};

/// What there is under some tokens; the others have never been used.
#[derive(Debug, Default)]
pub struct LoadedClusters {
    /// Clusters as they are now.
    pub clusters: Vec<Cluster>,
    /// Tokens whose cluster was deleted after members had registered.
    pub used_up: Vec<Token>,
    /// Tokens whose cluster can't be read, and why: whoever asks for one of these must not fail with them.
    pub corrupt: Vec<(Token, StoreError)>,
}

impl Store {
    /// A cluster as it is now, or `None` if there is none of that name.
    pub async fn load(&self, token: &Token) -> Result<Option<Cluster>, StoreError> {
        let mut loaded = self.read(async |reader| clusters(reader, std::slice::from_ref(token)).await).await?;
        match loaded.corrupt.pop() {
            Some((_, error)) => Err(error),
            None => Ok(loaded.clusters.pop()),
        }
    }

    /// A cluster's events from a revision on, oldest first, at most `limit`. They have no gaps: if the
    /// first is later than `from`, then older ones have been forgotten.
    pub async fn events(&self, token: &Token, from: Revision, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        self.read(async |reader| events(reader, token, from, limit).await).await
    }

    /// Which state of each of some clusters is the present one. Those that are missing do not exist. It takes no longer
    /// than one waits for the database, and a connection that was lost is made anew.
    pub async fn stamps(&self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        match self.stamps_once(tokens).await {
            Err(error) if error.is_transient() && !self.is_down() => self.stamps_once(tokens).await,
            stamps => stamps,
        }
    }

    async fn stamps_once(&self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        if tokens.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = Statement::new("select token, revision, created_at from cluster where token in ");
        statement.push_list(tokens.iter().map(Token::as_str));
        let limit = self.limits.acquire_timeout;
        let rows = self.read_within(limit, async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        rows.iter().map(stamp).collect()
    }

    /// Tokens that were created before a moment and that nobody ever registered under, at most `limit`.
    pub async fn unregistered(&self, before: UnixMillis, limit: u32) -> Result<Vec<Token>, StoreError> {
        let text = "select token from cluster where first_registered_at is null and created_at < $1 limit $2";
        let statement = Statement::new(text).bind(before.0).bind(i64::from(limit));
        let rows = self.read(async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        rows.iter().map(token).collect()
    }
}

/// What there is under some tokens, as of now.
pub(super) async fn load_all(connection: &mut Connection, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
    let loaded = clusters(connection, tokens).await?;
    let is_there = |token: &Token| {
        loaded.clusters.iter().any(|cluster| cluster.token == *token)
            || loaded.corrupt.iter().any(|(corrupt, _)| corrupt == token)
    };
    let others: Vec<&str> = tokens.iter().filter(|token| !is_there(token)).map(Token::as_str).collect();
    let used_up = used_up(connection, &others).await?;
    Ok(LoadedClusters { used_up, ..loaded })
}

async fn used_up(connection: &mut Connection, tokens: &[&str]) -> Result<Vec<Token>, StoreError> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = Statement::new("select token from used_token where token in ");
    statement.push_list(tokens.iter().copied());
    connection.fetch_all(statement).await?.iter().map(token).collect()
}

async fn clusters(connection: &mut Connection, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
    let mut loaded = LoadedClusters::default();
    if tokens.is_empty() {
        return Ok(loaded);
    }
    // One statement, so that clusters and members are of the same moment.
    let mut statement = Statement::new(
        "select cluster.*, member.*, member.learner as member_learner, cluster.learner as cluster_learner \
         from cluster left join member on member.cluster = cluster.id where cluster.token in ",
    );
    statement.push_list(tokens.iter().map(Token::as_str)).push(" order by cluster.token, created_revision");
    let rows = connection.fetch_all(statement).await?;
    for of_one in rows.chunk_by(|row, next| token_text(row).ok() == token_text(next).ok()) {
        let token = token(&of_one[0])?;
        match cluster_with_members(&token, of_one) {
            Ok(cluster) => loaded.clusters.push(cluster),
            Err(error) => loaded.corrupt.push((token, error)),
        }
    }
    Ok(loaded)
}

/// See [`Store::events`].
pub(super) async fn events(
    connection: &mut Connection,
    token: &Token,
    from: Revision,
    limit: u32,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let text = "select event.* from event join cluster on cluster.id = event.cluster \
                where cluster.token = $1 and event.revision >= $2 order by event.revision limit $3";
    let from = i64::try_from(from.0).unwrap_or(i64::MAX);
    let statement = Statement::new(text).bind(token.as_str()).bind(from).bind(i64::from(limit));
    connection.fetch_all(statement).await?.iter().map(|row| event(token, row).map(Arc::new)).collect()
}

/// Which state of a cluster this is. Tokens that nobody has registered under can name another cluster later, whose
/// revisions begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The cluster's revision.
    pub revision: Revision,
    /// When the cluster was made.
    pub created_at: UnixMillis,
}

impl Stamp {
    /// The stamp of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self { revision: cluster.revision, created_at: cluster.created_at }
    }

    /// Whether this is an earlier state of the same cluster, or of the one before it under its token.
    pub fn is_before(self, other: Self) -> bool {
        (self.created_at, self.revision) < (other.created_at, other.revision)
    }

    /// Whether this is a later state of the same cluster, or the same.
    pub fn is_no_older_than(self, other: Self) -> bool {
        self.created_at == other.created_at && self.revision >= other.revision
    }
}

pub(super) fn stamp(row: &Row) -> Result<(Token, Stamp), StoreError> {
    let stamp =
        Stamp { revision: revision(row.try_get("revision")?)?, created_at: UnixMillis(row.try_get("created_at")?) };
    Ok((token(row)?, stamp))
}

pub(super) fn token(row: &Row) -> Result<Token, StoreError> {
    parse("token", token_text(row)?)
}

fn token_text(row: &Row) -> Result<&str, sqlx::Error> {
    row.try_get("token")
}

/// A cluster from its rows, one for each member, or one without a member.
pub(super) fn cluster_with_members(token: &Token, rows: &[Row]) -> Result<Cluster, StoreError> {
    let mut cluster = cluster(token.clone(), &rows[0])?;
    for row in rows {
        if let Some(key) = row.try_get::<Option<&str>>("key")? {
            cluster.record.push(Arc::new(member(key, row)?));
        }
    }
    Ok(cluster)
}

/// A cluster with an empty record, from a row that has its columns.
pub(super) fn cluster(token: Token, row: &Row) -> Result<Cluster, StoreError> {
    let size: i64 = row.try_get("size")?;
    let epoch: i64 = row.try_get("epoch")?;
    let face = match row.try_get::<Option<&str>>("face")? {
        None => None,
        Some("v2") => Some(Protocol::Discovery(Discovery::V2)),
        Some("v3") => Some(Protocol::Discovery(Discovery::V3)),
        Some("check_in") => Some(Protocol::CheckIn),
        Some(other) => return Err(corrupt("cluster.face", other)),
    };
    Ok(Cluster {
        token,
        size: u32::try_from(size).ok().and_then(ClusterSize::new).ok_or_else(|| corrupt("cluster.size", size))?,
        size_created: revision(row.try_get("size_created_revision")?)?,
        size_modified: revision(row.try_get("size_modified_revision")?)?,
        size_version: version(row.try_get("size_version")?)?,
        revision: revision(row.try_get("revision")?)?,
        created_at: UnixMillis(row.try_get("created_at")?),
        first_registered_at: row.try_get::<Option<i64>>("first_registered_at")?.map(UnixMillis),
        formed: optional_revision(row, "formed_revision")?,
        formed_at: row.try_get::<Option<i64>>("formed_at")?.map(UnixMillis),
        name: optional(row, "name")?,
        policy: policy(row)?,
        epoch: Epoch(u32::try_from(epoch).map_err(|error| corrupt("cluster.epoch", error))?),
        protocol: face,
        cluster_id: optional(row, "cluster_id")?,
        bootstrapped: optional_revision(row, "bootstrapped_revision")?,
        earlier_cluster_ids: list(row, "earlier")?,
        ticket: ticket(row)?,
        tickets: row.try_get::<i64>("tickets")? as u64,
        record: Vec::new(),
    })
}

fn policy(row: &Row) -> Result<Policy, StoreError> {
    Ok(Policy {
        strategy: parse("cluster.strategy", row.try_get("strategy")?)?,
        dead_after: duration(row, "dead_after_ms")?,
        learner: row.try_get::<i64>("cluster_learner")? != 0,
        check_in_every: duration(row, "check_in_every_ms")?,
        paused: row.try_get::<i64>("paused")? != 0,
    })
}

fn ticket(row: &Row) -> Result<Option<Ticket>, StoreError> {
    let Some(holder) = optional(row, "ticket_holder")? else { return Ok(None) };
    let member = || -> Result<MemberKey, StoreError> {
        optional(row, "ticket_member")?.ok_or_else(|| corrupt("cluster.ticket_member", "null"))
    };
    let peer_urls = || list(row, "ticket_peer_urls");
    let purpose = match row.try_get("ticket_purpose")? {
        "join" => Purpose::Join { peer_urls: peer_urls()?, replaces: optional(row, "ticket_member")? },
        "remove" => Purpose::Remove { member: member()? },
        "update" => Purpose::Update { member: member()?, peer_urls: peer_urls()? },
        "promote" => Purpose::Promote { member: member()? },
        other => return Err(corrupt("cluster.ticket_purpose", other)),
    };
    let number = row.try_get::<i64>("tickets")? as u64;
    Ok(Some(Ticket { number, holder, purpose, granted_at: UnixMillis(row.try_get("ticket_granted_at")?) }))
}

fn member(key: &str, row: &Row) -> Result<Member, StoreError> {
    let registration = Registration::parse_of_any_length(row.try_get("registration")?);
    let confirmed = row.try_get::<i64>("removal_confirmed")? != 0;
    let removal = optional_revision(row, "removed_revision")?.map(|at| Removal { at, confirmed });
    Ok(Member {
        key: parse("member.key", key)?,
        registration: registration.map_err(|error| corrupt("member.registration", error))?,
        client_urls: list(row, "client_urls")?,
        role: if row.try_get::<i64>("member_learner")? != 0 { Role::Learner } else { Role::Voter },
        started: row.try_get::<i64>("started")? != 0,
        founder: founder(row)?,
        eviction: row.try_get::<Option<i64>>("evicted_at")?.map(UnixMillis),
        downtime_until: row.try_get::<Option<i64>>("downtime_until")?.map(UnixMillis),
        created: revision(row.try_get("created_revision")?)?,
        modified: revision(row.try_get("modified_revision")?)?,
        registered: revision(row.try_get("registered_revision")?)?,
        version: version(row.try_get("version")?)?,
        removed: removal,
    })
}

fn founder(row: &Row) -> Result<Option<Founder>, StoreError> {
    if row.try_get::<i64>("founder")? == 0 {
        return Ok(None);
    }
    let issued_at: Option<i64> = row.try_get("told_at")?;
    let issued = optional(row, "told_run")?.zip(issued_at).map(|(run, at)| BootstrapIssued { run, at: UnixMillis(at) });
    Ok(Some(Founder { issued }))
}

pub(super) fn event(token: &Token, row: &Row) -> Result<Event, StoreError> {
    let subject: &str = row.try_get("subject")?;
    let member_key: Option<&str> = row.try_get("member_key")?;
    let subject = match (subject, member_key) {
        ("cluster", None) => Subject::Cluster,
        ("size", None) => Subject::Size,
        ("member", Some(key)) => Subject::Member(parse("event.member_key", key)?),
        ("lifecycle", key) => Subject::Lifecycle(key.map(|key| parse("event.member_key", key)).transpose()?),
        (other, _) => return Err(corrupt("event.subject", other)),
    };
    let previous_created: Option<i64> = row.try_get("previous_created_revision")?;
    let previous_modified: Option<i64> = row.try_get("previous_modified_revision")?;
    let previous = match (previous_created, previous_modified) {
        (Some(created), Some(modified)) => Some(Previous {
            value: row.try_get("previous_value")?,
            created: revision(created)?,
            modified: revision(modified)?,
            version: version(row.try_get("previous_version")?)?,
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
        version: version(row.try_get("version")?)?,
        previous,
        also_deleted: Vec::new(),
        while_forming: row.try_get::<i64>("while_forming")? != 0,
        kind: parse("event.kind", row.try_get("kind")?)?,
        message: row.try_get::<String>("message")?.into(),
    })
}

fn revision(stored: i64) -> Result<Revision, StoreError> {
    u64::try_from(stored).map(Revision).map_err(|error| corrupt("revision", error))
}

fn version(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|error| corrupt("version", error))
}

fn optional_revision(row: &Row, column: &'static str) -> Result<Option<Revision>, StoreError> {
    row.try_get::<Option<i64>>(column)?.map(revision).transpose()
}

fn duration(row: &Row, column: &'static str) -> Result<Duration, StoreError> {
    let milliseconds: i64 = row.try_get(column)?;
    u64::try_from(milliseconds).map(Duration::from_millis).map_err(|error| corrupt(column, error))
}

fn optional<T: FromStr<Err: Display>>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError> {
    row.try_get::<Option<&str>>(column)?.map(|text| parse(column, text)).transpose()
}

/// What was stored with commas between; null and an empty text are none.
fn list<T: FromStr<Err: Display>>(row: &Row, column: &'static str) -> Result<Vec<T>, StoreError> {
    let text = row.try_get::<Option<&str>>(column)?.unwrap_or_default();
    text.split(',').filter(|item| !item.is_empty()).map(|item| parse(column, item)).collect()
}

pub(super) fn parse<T: FromStr<Err: Display>>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(column, error))
}

fn corrupt(column: &'static str, reason: impl Display) -> StoreError {
    StoreError::Corrupt { column, reason: reason.to_string() }
}
