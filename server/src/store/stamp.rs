//! What identifies a state of a cluster.

use convene_lifecycle::{Cluster, Revision, Token, UnixMillis};

use super::{
    StoreError,
    connection::{Connection, Row},
    random::random_bits,
    read::token,
    statement::Statement,
};

/// Identifies a write. It is random, so that a write that the database has lost and the one that takes its place have different
/// IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteId(pub(super) i64);

impl WriteId {
    /// Draws the ID of a new write.
    pub fn draw() -> Self {
        Self(random_bits())
    }
}

/// Identifies one state of one cluster. The revision alone does not: a token without registrations can name another cluster
/// later, whose revisions start from 1 again, and a database that has lost writes gives out their revisions once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The cluster's revision.
    pub revision: Revision,
    /// When the cluster was created.
    pub created_at: UnixMillis,
    /// The write that made the state; `None` if a server of the version before made it.
    pub write_id: Option<WriteId>,
}

impl Stamp {
    /// The stamp of a cluster that a write has made.
    pub fn of(cluster: &Cluster, write_id: Option<WriteId>) -> Self {
        Self { revision: cluster.revision, created_at: cluster.created_at, write_id }
    }

    /// Whether this is an earlier state of the same cluster, or of an earlier cluster under its token.
    pub fn is_before(self, other: Self) -> bool {
        (self.created_at, self.revision) < (other.created_at, other.revision)
    }

    /// Whether this is the same or a later state of the same cluster.
    pub fn is_no_older_than(self, other: Self) -> bool {
        self == other || (self.created_at == other.created_at && self.revision > other.revision)
    }

    /// Whether the database, of which this is the present stamp, has lost a state that it had before. An unknown ID proves
    /// nothing; see [`WRITE_ID`].
    pub fn lacks(self, earlier: Self) -> bool {
        let is_other = || self.write_id.zip(earlier.write_id).is_some_and(|(present, earlier)| present != earlier);
        self.created_at == earlier.created_at
            && (self.revision < earlier.revision || (self.revision == earlier.revision && is_other()))
    }
}

/// The ID of a cluster's last write. A statement that locks the cluster may wait for a write, and then sees that write's revision
/// and not its event: the ID is null (PostgreSQL, `src/backend/executor/execMain.c:EvalPlanQual`).
pub(super) const WRITE_ID: &str =
    "(select write_id from event where event.cluster = cluster.id and event.revision = cluster.revision) as write_id";

/// A statement that reads the columns of [`stamp`] of some clusters, and ends with their tokens.
pub(super) fn select_stamps(tokens: &[Token]) -> Statement<'_> {
    let mut statement =
        Statement::new(format!("select token, revision, created_at, {WRITE_ID} from cluster where token"));
    statement.push_in(tokens.iter().map(Token::as_str));
    statement
}

/// Reads the columns `token`, `revision`, `created_at` and `write_id`.
pub(super) fn stamp(row: &Row) -> Result<(Token, Stamp), StoreError> {
    let revision: i64 = row.try_get("revision")?;
    let revision =
        u64::try_from(revision).map_err(|error| StoreError::corrupt("cluster", "revision", error)).map(Revision)?;
    let created_at = UnixMillis(row.try_get("created_at")?);
    Ok((token(row)?, Stamp { revision, created_at, write_id: write_id(row)? }))
}

/// Reads the column `write_id`.
pub(super) fn write_id(row: &Row) -> Result<Option<WriteId>, StoreError> {
    Ok(row.try_get::<Option<i64>>("write_id")?.map(WriteId))
}

/// The write that made a revision of a cluster, if the history still has the revision; `Some(None)` if a server of the version before
/// made it.
pub(super) async fn write_of(
    connection: &mut Connection,
    token: &Token,
    revision: Revision,
) -> Result<Option<Option<WriteId>>, StoreError> {
    let text = "select write_id from event join cluster on cluster.id = event.cluster \
                where cluster.token = $1 and event.revision = $2";
    let statement = Statement::new(text).bind(token.as_str()).bind(revision.0 as i64);
    connection.fetch_all(statement).await?.first().map(write_id).transpose()
}
