use std::{
    collections::HashMap,
    fmt::Display,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use super::{
    Abandoned, Stamp, Store, StoreError, WriteId,
    admission::admissions,
    columns::{CLUSTER, EVENT, MEMBER, read_cluster, read_event, read_member},
    connection::{Connection, Row},
    stamp::{WRITE_ID, select_stamps, stamp, write_id, write_of},
    statement::Statement,
};
use convene_lifecycle::{Cluster, Event, PublicId, Revision, Token, UnixMillis};

/// A cluster in the state that the database has.
#[derive(Debug)]
pub struct StoredCluster {
    /// The cluster.
    pub cluster: Cluster,
    /// The write that made the state; `None` if a server of the version before made it.
    pub write_id: Option<WriteId>,
}

/// What the database has for some tokens. A token that is missing in all three lists has never been used.
#[derive(Debug, Default)]
pub struct LoadedClusters {
    /// The clusters in their present state.
    pub clusters: Vec<StoredCluster>,
    /// The tokens of deleted clusters that had members.
    pub used_up: Vec<Token>,
    /// The tokens of clusters that can't be read, and why. They are listed apart so that the others can be used.
    pub corrupt: Vec<(Token, StoreError)>,
}

impl Store {
    /// A cluster in its present state; `None` if there is no such cluster.
    pub async fn load(&self, token: &Token) -> Result<Option<StoredCluster>, StoreError> {
        let mut loaded = self.load_all(std::slice::from_ref(token)).await?;
        match loaded.corrupt.pop() {
            Some((_, error)) => Err(error),
            None => Ok(loaded.clusters.pop()),
        }
    }

    /// The clusters of some tokens in their present state. Does not look for tokens that are used up.
    pub async fn load_all(&self, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
        self.read(async |reader| clusters(reader, tokens).await).await
    }

    /// The token of the cluster with a public ID; `None` if there is no such cluster.
    pub async fn token_of(&self, PublicId(id): PublicId) -> Result<Option<Token>, StoreError> {
        let statement = Statement::new("select token from cluster where id = $1").bind(id);
        let rows = self.read(async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        rows.first().map(token).transpose()
    }

    /// A cluster's events from a revision on, oldest first, at most `limit`, without gaps. If the first one is later than
    /// `from`, the history before it has been compacted.
    pub async fn events(&self, token: &Token, from: Revision, limit: u32) -> Result<Vec<Arc<Event>>, StoreError> {
        self.read(async |reader| events(reader, token, from, limit).await).await
    }

    /// The stamps of some clusters; those that do not exist are missing. It takes at most the acquire time-out, and
    /// connects again if the connection is lost.
    pub async fn stamps(&self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        match self.stamps_once(tokens).await {
            Err(error) if self.may_retry(&error) => self.stamps_once(tokens).await,
            stamps => stamps,
        }
    }

    async fn stamps_once(&self, tokens: &[Token]) -> Result<HashMap<Token, Stamp>, StoreError> {
        if tokens.is_empty() {
            return Ok(HashMap::new());
        }
        let statement = select_stamps(tokens);
        let limit = self.limits.acquire_timeout;
        let rows = self.read_within(limit, async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        rows.iter().map(stamp).collect()
    }

    /// The write that made a revision of a cluster, if the history still has the revision; `Some(None)` if a server of the version
    /// before made it.
    pub async fn write_of(&self, token: &Token, revision: Revision) -> Result<Option<Option<WriteId>>, StoreError> {
        self.read(async |reader| write_of(reader, token, revision).await).await
    }

    /// At most `limit` tokens of clusters that were abandoned before a time, with the revisions at which they were found.
    pub async fn abandoned(
        &self,
        abandoned: Abandoned,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Vec<(Token, Revision)>, StoreError> {
        let statement = Statement::new(abandoned.select()).bind(before.0.max(0)).bind(i64::from(limit));
        let rows = self.read(async |reader| Ok(reader.fetch_all(statement).await?)).await?;
        let found = |row: &Row| {
            let revision: i64 = row.try_get("revision")?;
            Ok((token(row)?, Revision(revision as u64)))
        };
        rows.iter().map(found).collect()
    }
}

/// Reads what the database has for some tokens.
pub(super) async fn load_all(connection: &mut Connection, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
    let loaded = clusters(connection, tokens).await?;
    let is_found = |token: &Token| {
        loaded.clusters.iter().any(|stored| stored.cluster.token == *token)
            || loaded.corrupt.iter().any(|(corrupt, _)| corrupt == token)
    };
    let others: Vec<&str> = tokens.iter().filter(|token| !is_found(token)).map(Token::as_str).collect();
    let used_up = used_up(connection, &others).await?;
    Ok(LoadedClusters { used_up, ..loaded })
}

async fn used_up(connection: &mut Connection, tokens: &[&str]) -> Result<Vec<Token>, StoreError> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = Statement::new("select token from used_token where token");
    statement.push_in(tokens.iter().copied());
    connection.fetch_all(statement).await?.iter().map(token).collect()
}

/// Clusters with their members, in one statement, so that both are of the same moment.
static SELECT_CLUSTERS: LazyLock<String> = LazyLock::new(|| {
    let columns = &*CLUSTER_WITH_MEMBER;
    format!(
        "select {columns}, {WRITE_ID} from cluster left join member on member.cluster = cluster.id where cluster.token"
    )
});

/// How often a cluster is read that changes in between.
const MAX_TRIES: usize = 10;

async fn clusters(connection: &mut Connection, tokens: &[Token]) -> Result<LoadedClusters, StoreError> {
    let (mut loaded, mut left) = (LoadedClusters::default(), tokens.to_vec());
    for _ in 0..MAX_TRIES {
        let read = clusters_without_admission(connection, &left).await?;
        loaded.corrupt.extend(read.corrupt);
        left = add_admissions(connection, read.clusters, &mut loaded).await?;
        if left.is_empty() {
            return Ok(loaded);
        }
    }
    loaded.corrupt.extend(left.into_iter().map(|token| (token, StoreError::Conflict)));
    Ok(loaded)
}

/// Adds clusters with their join tokens and credentials. Returns the tokens of those that have changed since they were read.
async fn add_admissions(
    connection: &mut Connection,
    clusters: Vec<StoredCluster>,
    loaded: &mut LoadedClusters,
) -> Result<Vec<Token>, StoreError> {
    let mut stored = admissions(connection, clusters.iter().map(|stored| &stored.cluster)).await?;
    let mut changed = Vec::new();
    for mut of_one in clusters {
        match stored.take(&mut of_one.cluster) {
            Ok(true) => loaded.clusters.push(of_one),
            Ok(false) => changed.push(of_one.cluster.token),
            Err(error) => loaded.corrupt.push((of_one.cluster.token, error)),
        }
    }
    Ok(changed)
}

async fn clusters_without_admission(
    connection: &mut Connection,
    tokens: &[Token],
) -> Result<LoadedClusters, StoreError> {
    let mut loaded = LoadedClusters::default();
    if tokens.is_empty() {
        return Ok(loaded);
    }
    let mut statement = Statement::new(&*SELECT_CLUSTERS);
    statement.push_in(tokens.iter().map(Token::as_str)).push(" order by cluster.token, member.created_revision");
    let rows = connection.fetch_all(statement).await?;
    for of_one in rows.chunk_by(|row, next| token_text(row).ok() == token_text(next).ok()) {
        let token = token(&of_one[0])?;
        match cluster_with_members(&token, of_one) {
            Ok(cluster) => loaded.clusters.push(StoredCluster { cluster, write_id: write_id(&of_one[0])? }),
            Err(error) => loaded.corrupt.push((token, error)),
        }
    }
    Ok(loaded)
}

/// The columns that [`cluster_with_members`] reads.
pub(super) static CLUSTER_WITH_MEMBER: LazyLock<String> = LazyLock::new(|| {
    let (cluster, member) = (CLUSTER.names_of("cluster"), MEMBER.names_of("member"));
    format!("{cluster}, cluster.id, cluster.token, cluster.created_at, {member}, member.key")
});

/// A cluster from its rows with the columns of [`CLUSTER_WITH_MEMBER`]: one for each member, or one without a member.
pub(super) fn cluster_with_members(token: &Token, rows: &[Row]) -> Result<Cluster, StoreError> {
    let created_at = UnixMillis(rows[0].try_get("created_at")?);
    let id = PublicId(rows[0].try_get("id")?);
    let mut cluster = read_cluster(id, token.clone(), created_at, &rows[0], 0)?;
    let first_of_member = CLUSTER.len() + 3;
    for row in rows {
        if let Some(key) = row.try_get::<Option<&str>>("key")? {
            let key = parse("member", "key", key)?;
            cluster.record.push(Arc::new(read_member(key, row, first_of_member)?));
        }
    }
    Ok(cluster)
}

static SELECT_EVENTS: LazyLock<String> = LazyLock::new(|| {
    let columns = EVENT.names_of("event");
    format!(
        "select {columns} from event join cluster on cluster.id = event.cluster \
         where cluster.token = $1 and event.revision >= $2 order by event.revision limit $3"
    )
});

/// See [`Store::events`].
pub(super) async fn events(
    connection: &mut Connection,
    token: &Token,
    from: Revision,
    limit: u32,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let from = i64::try_from(from.0).unwrap_or(i64::MAX);
    let statement = Statement::new(&*SELECT_EVENTS).bind(token.as_str()).bind(from).bind(i64::from(limit));
    let rows = connection.fetch_all(statement).await?;
    rows.iter().map(|row| read_event(token.clone(), row, 0).map(Arc::new)).collect()
}

/// Reads the column `token`.
pub(super) fn token(row: &Row) -> Result<Token, StoreError> {
    parse("cluster", "token", token_text(row)?)
}

fn token_text(row: &Row) -> Result<&str, sqlx::Error> {
    row.try_get("token")
}

pub(super) fn parse<T: FromStr<Err: Display>>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::corrupt(table, column, error))
}
