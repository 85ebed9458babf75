use std::collections::HashMap;

use convene_lifecycle::{Liveness, Token};

use super::{Store, StoreError, Transaction, connection::Connection, read::token, statement::Statement};

impl Store {
    /// Who was heard of when in a cluster whose nodes check in with several servers; `None` if nobody ever was.
    pub async fn liveness(&self, token: &Token) -> Result<Option<Liveness>, StoreError> {
        let tokens = std::slice::from_ref(token);
        let mut stored = self.read(async |reader| liveness(reader, tokens).await).await?;
        Ok(stored.remove(token))
    }
}

impl Transaction<'_> {
    /// Who was heard of when, in some clusters.
    pub async fn liveness(&mut self, tokens: &[Token]) -> Result<HashMap<Token, Liveness>, StoreError> {
        self.with_timeout(async |connection| liveness(connection, tokens).await).await
    }

    /// Writes down who was heard of when, in clusters that are there.
    pub async fn write_liveness(&mut self, all: &[(Token, Liveness)]) -> Result<(), StoreError> {
        if all.is_empty() {
            return Ok(());
        }
        let mut upsert =
            Statement::new("insert into listening (cluster, sightings) with heard (token, sightings) as (");
        upsert.push_rows(all, |row, (token, sightings)| {
            let document = serde_json::to_string(sightings).expect("sightings have keys that are texts");
            row.value(token.as_str()).value(document);
        });
        upsert.push(
            ") select cluster.id, heard.sightings from heard join cluster on cluster.token = heard.token where true \
             on conflict (cluster) do update set sightings = excluded.sightings",
        );
        self.with_timeout(async |connection| Ok(connection.execute(upsert).await.map(drop)?)).await
    }
}

/// Who was heard of when, in some clusters.
pub(super) async fn liveness(
    connection: &mut Connection,
    tokens: &[Token],
) -> Result<HashMap<Token, Liveness>, StoreError> {
    if tokens.is_empty() {
        return Ok(HashMap::new());
    }
    let mut statement = Statement::new(
        "select token, sightings from listening join cluster on cluster.id = listening.cluster where token in ",
    );
    statement.push_list(tokens.iter().map(Token::as_str));
    let rows = connection.fetch_all(statement).await?;
    let mut all = HashMap::with_capacity(rows.len());
    for row in &rows {
        let token = token(row)?;
        match serde_json::from_str(row.try_get("sightings")?) {
            Ok(sightings) => drop(all.insert(token, sightings)),
            // Then nobody was heard of, and silence counts from now on: nobody is taken for dead by it.
            Err(error) => tracing::warn!(cluster = %token, %error, "it can't be read who was heard of; listening anew"),
        }
    }
    Ok(all)
}
