//! The join tokens and the credentials of clusters.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use convene_lifecycle::{
    Admission, Cluster, JoinToken, MemberName, NodeCredential, PublicId, Revision, Token, UnixMillis,
};

use super::{
    ClusterWrite, StoreError,
    columns::{JOIN_TOKEN, NODE_CREDENTIAL, Stored, read_join_token, read_node_credential},
    connection::{Connection, Row},
    read::{parse, token},
    statement::Statement,
    table::Table,
};

/// The most rows in one statement, because a database limits the number of its values (SQLite: 32,766).
const CHUNK: usize = 128;

/// What the two tables have for some clusters.
#[derive(Debug, Default)]
pub(super) struct StoredAdmissions {
    /// The clusters that were read, each as of this revision and creation.
    states: HashMap<Token, (i64, i64)>,
    join_tokens: HashMap<Token, Vec<JoinToken>>,
    credentials: HashMap<Token, Vec<(MemberName, NodeCredential)>>,
    corrupt: HashMap<Token, StoreError>,
}

static SELECT_JOIN_TOKENS: LazyLock<String> =
    LazyLock::new(|| select("join_token", &JOIN_TOKEN.names_of("join_token")));

static SELECT_CREDENTIALS: LazyLock<String> = LazyLock::new(|| {
    select("node_credential", &format!("{}, node_credential.node", NODE_CREDENTIAL.names_of("node_credential")))
});

/// Starts with the columns of the table. A cluster without rows there has one row with nulls.
fn select(table: &str, columns: &str) -> String {
    format!(
        "select {columns}, cluster.token, cluster.revision, cluster.created_at as cluster_created_at \
         from cluster left join {table} on {table}.cluster = cluster.id where cluster.token"
    )
}

/// Reads what the two tables have for these clusters. A cluster may change between the statement that read it and this one; see
/// [`StoredAdmissions::take`].
pub(super) async fn admissions(
    connection: &mut Connection,
    clusters: impl Iterator<Item = &Cluster>,
) -> Result<StoredAdmissions, StoreError> {
    // Most clusters of stock etcds have neither.
    let tokens: Vec<&str> =
        clusters.filter(|cluster| cluster.admission.modified.is_some()).map(|cluster| cluster.token.as_str()).collect();
    let mut stored = StoredAdmissions::default();
    if tokens.is_empty() {
        return Ok(stored);
    }
    let mut join_tokens = Statement::new(&*SELECT_JOIN_TOKENS);
    join_tokens.push_in(tokens.iter().copied()).push(" order by cluster.token, join_token.modified_revision, hash");
    for row in &connection.fetch_all(join_tokens).await? {
        let token = stored.check(row)?;
        if row.is_null(0)? {
            continue;
        }
        match read_join_token(row, 0) {
            Ok(read) => stored.join_tokens.entry(token).or_default().push(read),
            Err(error) => drop(stored.corrupt.insert(token, error)),
        }
    }
    let mut credentials = Statement::new(&*SELECT_CREDENTIALS);
    credentials.push_in(tokens);
    for row in &connection.fetch_all(credentials).await? {
        let token = stored.check(row)?;
        let Some(node) = row.try_get::<Option<&str>>("node")? else { continue };
        let read = parse("node_credential", "node", node).and_then(|node| Ok((node, read_node_credential(row, 0)?)));
        match read {
            Ok(read) => stored.credentials.entry(token).or_default().push(read),
            Err(error) => drop(stored.corrupt.insert(token, error)),
        }
    }
    Ok(stored)
}

impl StoredAdmissions {
    /// Notes the cluster's state in a row. If it is another one than in an earlier row, none is valid.
    fn check(&mut self, row: &Row) -> Result<Token, StoreError> {
        let token = token(row)?;
        let state = (row.try_get("revision")?, row.try_get("cluster_created_at")?);
        let known = *self.states.entry(token.clone()).or_insert(state);
        if known != state {
            self.states.insert(token.clone(), (0, 0));
        }
        Ok(token)
    }

    /// Completes a cluster. Returns `false` if the cluster has changed since it was read.
    pub fn take(&mut self, cluster: &mut Cluster) -> Result<bool, StoreError> {
        if cluster.admission.modified.is_none() {
            return Ok(true);
        }
        let state = self.states.get(&cluster.token).map(|(revision, at)| (*revision, UnixMillis(*at)));
        if state != Some((cluster.revision.0 as i64, cluster.created_at)) {
            return Ok(false);
        }
        if let Some(error) = self.corrupt.remove(&cluster.token) {
            return Err(error);
        }
        let admission = Arc::make_mut(&mut cluster.admission);
        admission.join_tokens = self.join_tokens.remove(&cluster.token).unwrap_or_default();
        admission.join_tokens.sort_by_key(|token| (token.created_at, token.hash));
        admission.credentials = self.credentials.remove(&cluster.token).unwrap_or_default().into_iter().collect();
        Ok(true)
    }
}

/// Writes the join tokens and credentials that have changed since the base, and deletes those that were dropped.
pub(super) async fn write_admissions(connection: &mut Connection, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let is_after = |write: &ClusterWrite, revision: Option<Revision>| {
        revision.is_some_and(|revision| write.base.is_none_or(|base| base.revision < revision))
    };
    let changed = writes.iter().filter_map(|write| Some((write, write.after.as_deref()?)));
    let changed: Vec<(&ClusterWrite, &Cluster)> =
        changed.filter(|(write, after)| is_after(write, after.admission.modified)).collect();
    for (_, after) in changed.iter().filter(|(write, after)| is_after(write, after.admission.dropped)) {
        delete_dropped(connection, &after.token, &after.admission).await?;
    }
    let mut join_tokens = Vec::new();
    let mut credentials = Vec::new();
    for (write, after) in changed {
        let of_write = after.admission.join_tokens.iter().filter(|token| is_after(write, Some(token.modified)));
        join_tokens.extend(of_write.map(|join_token| (after.id, join_token)));
        let of_write = after.admission.credentials.iter().filter(|(_, own)| is_after(write, Some(own.modified)));
        credentials.extend(of_write.map(|(node, credential)| (after.id, node, credential)));
    }
    for rows in join_tokens.chunks(CHUNK) {
        upsert_join_tokens(connection, rows).await?;
    }
    for rows in credentials.chunks(CHUNK) {
        upsert_credentials(connection, rows).await?;
    }
    Ok(())
}

static UPDATE_JOIN_TOKEN: LazyLock<String> =
    LazyLock::new(|| format!(" on conflict (cluster, hash) do update set {}", JOIN_TOKEN.assignments("excluded")));

async fn upsert_join_tokens(connection: &mut Connection, rows: &[(PublicId, &JoinToken)]) -> Result<(), StoreError> {
    let mut table = Table::new();
    table.column("cluster", rows.iter().map(|(cluster, _)| cluster.0));
    JOIN_TOKEN.add_known(&mut table, rows.iter().map(|(_, join_token)| *join_token));
    let mut upsert = Statement::new(format!("insert into join_token ({}) ", table.names()));
    upsert.push_table(table).push(&**UPDATE_JOIN_TOKEN);
    connection.execute(upsert).await?;
    Ok(())
}

static UPDATE_CREDENTIAL: LazyLock<String> =
    LazyLock::new(|| format!(" on conflict (cluster, node) do update set {}", NODE_CREDENTIAL.assignments("excluded")));

async fn upsert_credentials(
    connection: &mut Connection,
    rows: &[(PublicId, &MemberName, &NodeCredential)],
) -> Result<(), StoreError> {
    let mut table = Table::new();
    table
        .column("cluster", rows.iter().map(|(cluster, ..)| cluster.0))
        .column("node", rows.iter().map(|(_, node, _)| node.to_value()));
    NODE_CREDENTIAL.add_known(&mut table, rows.iter().map(|(.., credential)| *credential));
    let mut upsert = Statement::new(format!("insert into node_credential ({}) ", table.names()));
    upsert.push_table(table).push(&**UPDATE_CREDENTIAL);
    connection.execute(upsert).await?;
    Ok(())
}

/// Deletes the rows that a cluster no longer has. That happens rarely, so both tables are compared as a whole.
async fn delete_dropped(connection: &mut Connection, token: &Token, admission: &Admission) -> Result<(), StoreError> {
    let kept: HashSet<String> = admission.join_tokens.iter().map(|token| token.hash.to_string()).collect();
    delete_others(connection, token, "join_token", "hash", kept).await?;
    let kept = admission.credentials.keys().map(ToString::to_string).collect();
    delete_others(connection, token, "node_credential", "node", kept).await
}

async fn delete_others(
    connection: &mut Connection,
    token: &Token,
    table: &str,
    key: &str,
    kept: HashSet<String>,
) -> Result<(), StoreError> {
    let of_cluster = "cluster = (select id from cluster where token = $1)";
    let select = Statement::new(format!("select {key} as key from {table} where {of_cluster}")).bind(token.as_str());
    for row in &connection.fetch_all(select).await? {
        let found: &str = row.try_get("key")?;
        if !kept.contains(found) {
            let delete = Statement::new(format!("delete from {table} where {of_cluster} and {key} = $2"));
            connection.execute(delete.bind(token.as_str()).bind(found)).await?;
        }
    }
    Ok(())
}
