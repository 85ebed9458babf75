use std::{collections::HashMap, str::FromStr};

use convene_lifecycle::{PublicId, SecretHash, UnixMillis};

use sqlx::ConnectOptions;

use super::{
    Database, DatabaseLimits, DatabaseUrl, OpenError, Store, StoreError,
    connection::{Connection, Row},
    migrations::check_migrations,
    open::{connect, registry_id},
    read::parse,
    sqlite,
    statement::Statement,
};
use crate::access::{ApiToken, ApiTokenId, Role, Scope};

/// What separates the clusters of a scope.
const SEPARATOR: char = ',';

impl Store {
    /// Counts the changes of the API tokens.
    pub async fn api_token_generation(&self) -> Result<i64, StoreError> {
        let statement = Statement::new("select api_token_generation from registry where id = 1");
        let row = self.read(async |reader| Ok(reader.fetch_one(statement).await?)).await?;
        Ok(row.try_get("api_token_generation")?)
    }

    /// Every API token with the hash of its secret, in the order of their creation.
    pub async fn api_tokens(&self) -> Result<Vec<(SecretHash, ApiToken)>, StoreError> {
        self.read(async |reader| read_api_tokens(reader).await).await
    }

    /// Adds an API token.
    pub async fn create_api_token(&self, hash: SecretHash, token: &ApiToken) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        transaction.with_timeout(async |connection| create_api_token(connection, hash, token).await).await?;
        transaction.commit().await
    }

    /// Revokes an API token. Returns whether there is one; one that was revoked before stays as it is.
    pub async fn revoke_api_token(&self, id: &ApiTokenId, at: UnixMillis) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let found = transaction.with_timeout(async |connection| revoke_api_token(connection, id, at).await).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Records when API tokens were used. A crash may lose that.
    pub async fn record_api_token_uses(&self, uses: &HashMap<ApiTokenId, UnixMillis>) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for (id, at) in uses {
            let text =
                "update api_token set last_used_at = $1 where id = $2 and (last_used_at is null or last_used_at < $1)";
            let update = Statement::new(text).bind(at.0).bind(id.as_str());
            transaction.with_timeout(async |connection| Ok(connection.execute(update).await?)).await?;
        }
        transaction.commit_without_sync().await
    }
}

/// See [`Store::api_tokens`].
pub(super) async fn read_api_tokens(connection: &mut Connection) -> Result<Vec<(SecretHash, ApiToken)>, StoreError> {
    let text = "select id, hash, name, role, clusters, created_at, created_by, expires_at, last_used_at, revoked_at \
                from api_token order by created_at, id";
    connection.fetch_all(Statement::new(text)).await?.iter().map(read_api_token).collect()
}

/// Inserts an API token as it is, a revoked one, too.
pub(super) async fn insert_api_token(
    connection: &mut Connection,
    hash: SecretHash,
    token: &ApiToken,
) -> Result<(), StoreError> {
    let text = "insert into api_token \
                (id, hash, name, role, clusters, created_at, created_by, expires_at, last_used_at, revoked_at) \
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let insert = Statement::new(text)
        .bind(token.id.as_str())
        .bind(hash.to_string())
        .bind(token.name.as_str())
        .bind(token.role.as_str())
        .bind(scope_text(&token.scope))
        .bind(token.created_at.0)
        .bind(token.created_by.as_str())
        .bind(token.expires_at.map(|at| at.0))
        .bind(token.last_used_at.map(|at| at.0))
        .bind(token.revoked_at.map(|at| at.0));
    connection.execute(insert).await?;
    Ok(())
}

/// See [`Store::create_api_token`].
pub(super) async fn create_api_token(
    connection: &mut Connection,
    hash: SecretHash,
    token: &ApiToken,
) -> Result<(), StoreError> {
    insert_api_token(connection, hash, token).await?;
    next_generation(connection).await
}

/// See [`Store::revoke_api_token`].
pub(super) async fn revoke_api_token(
    connection: &mut Connection,
    id: &ApiTokenId,
    at: UnixMillis,
) -> Result<bool, StoreError> {
    let text = "update api_token set revoked_at = coalesce(revoked_at, $1) where id = $2";
    let revoked = connection.execute(Statement::new(text).bind(at.0).bind(id.as_str())).await?;
    next_generation(connection).await?;
    Ok(revoked > 0)
}

async fn next_generation(connection: &mut Connection) -> Result<(), StoreError> {
    let text = "update registry set api_token_generation = api_token_generation + 1 where id = 1";
    connection.execute(Statement::new(text)).await?;
    Ok(())
}

fn read_api_token(row: &Row) -> Result<(SecretHash, ApiToken), StoreError> {
    let at = |column: &'static str| Ok::<_, StoreError>(row.try_get::<Option<i64>>(column)?.map(UnixMillis));
    let clusters: Option<&str> = row.try_get("clusters")?;
    let token = ApiToken {
        id: column(row, "id")?,
        name: column(row, "name")?,
        role: column::<Role>(row, "role")?,
        scope: clusters.map_or(Ok(Scope::All), read_scope)?,
        created_at: UnixMillis(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        expires_at: at("expires_at")?,
        last_used_at: at("last_used_at")?,
        revoked_at: at("revoked_at")?,
    };
    Ok((column(row, "hash")?, token))
}

fn column<T: FromStr<Err: std::fmt::Display>>(row: &Row, name: &'static str) -> Result<T, StoreError> {
    parse("api_token", name, row.try_get(name)?)
}

fn scope_text(scope: &Scope) -> Option<String> {
    let Scope::Clusters(clusters) = scope else { return None };
    let clusters: Vec<String> = clusters.iter().map(ToString::to_string).collect();
    Some(clusters.join(&SEPARATOR.to_string()))
}

fn read_scope(text: &str) -> Result<Scope, StoreError> {
    let clusters = text.split(SEPARATOR).filter(|id| !id.is_empty());
    clusters.map(|id| parse::<PublicId>("api_token", "clusters", id)).collect::<Result<_, _>>().map(Scope::Clusters)
}

/// The API tokens of a database, for commands on the machine of the server. Servers may run on the database meanwhile, also on a
/// SQLite file: they notice a change of the tokens within a second or two.
pub struct ApiTokenDatabase {
    connection: Connection,
    _database: Option<Database>,
}

impl ApiTokenDatabase {
    /// Opens a database. Applies missing migrations, unless a server has the SQLite file open, which has applied its own.
    pub async fn open(url: &DatabaseUrl, limits: DatabaseLimits) -> Result<Self, OpenError> {
        match connect(url, limits).await {
            Err(OpenError::InUse { path }) => {
                let connected = sqlite::options(&path).connect().await;
                let mut connection =
                    connected.map(Connection::Sqlite).map_err(|error| OpenError::cannot_open(url, &error))?;
                check_migrations(&mut connection, url).await?;
                Ok(Self { connection, _database: None })
            }
            Err(error) => Err(error),
            Ok((database, mut connection, _)) => {
                registry_id(&mut connection).await.map_err(|error| OpenError::cannot_open(url, &error))?;
                Ok(Self { connection, _database: Some(database) })
            }
        }
    }

    /// See [`Store::create_api_token`].
    pub async fn create(&mut self, hash: SecretHash, token: &ApiToken) -> Result<(), StoreError> {
        self.begin().await?;
        create_api_token(&mut self.connection, hash, token).await?;
        self.commit().await
    }

    /// Every API token, in the order of their creation.
    pub async fn list(&mut self) -> Result<Vec<ApiToken>, StoreError> {
        let tokens = read_api_tokens(&mut self.connection).await?;
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    /// See [`Store::revoke_api_token`].
    pub async fn revoke(&mut self, id: &ApiTokenId, at: UnixMillis) -> Result<bool, StoreError> {
        self.begin().await?;
        let found = revoke_api_token(&mut self.connection, id, at).await?;
        self.commit().await?;
        Ok(found)
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let begin = if self.connection.is_shared() { "begin" } else { "begin immediate" };
        Ok(self.connection.run(begin).await?)
    }

    /// Commits. Without it, the database rolls back when the connection closes.
    async fn commit(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.run("commit").await?)
    }
}
