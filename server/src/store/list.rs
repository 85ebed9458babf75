use std::{fmt, str::FromStr};

use convene_lifecycle::{Cluster, Token};
use sqlx::{QueryBuilder, Row};

use super::{Db, Store, StoreError};

/// Which clusters to list.
#[derive(Clone, Debug, Default)]
pub struct ClusterFilter {
    /// Only those after this place; `None` begins with the oldest.
    pub after: Option<Cursor>,
    /// Only those that are called so.
    pub name: Option<String>,
    /// Only those that have formed, or have not.
    pub formed: Option<bool>,
    /// Only those that are paused, or are not.
    pub paused: Option<bool>,
}

/// A place in the list of all clusters: 16 hexadecimal digits, which mean nothing to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl Store {
    /// At most `limit` clusters in the order in which they were made, and where to go on if there are more.
    pub async fn list(&self, filter: &ClusterFilter, limit: u32) -> Result<(Vec<Cluster>, Option<Cursor>), StoreError> {
        let mut query = QueryBuilder::<Db>::new("select id, token from cluster where id > ");
        query.push_bind(filter.after.map_or(i64::MIN, |Cursor(id)| id));
        if let Some(name) = &filter.name {
            query.push(" and name = ").push_bind(name);
        }
        match filter.formed {
            Some(true) => drop(query.push(" and formed_revision is not null")),
            Some(false) => drop(query.push(" and formed_revision is null")),
            None => {}
        }
        if let Some(paused) = filter.paused {
            query.push(" and paused = ").push_bind(i64::from(paused));
        }
        query.push(" order by id limit ").push_bind(i64::from(limit) + 1);
        let rows = query.build().fetch_all(&self.readers).await?;
        let is_more = rows.len() > limit as usize;
        let mut tokens: Vec<Token> = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in rows.iter().take(limit as usize) {
            let token: &str = row.try_get("token")?;
            tokens.push(
                token.parse().map_err(|_| StoreError::Corrupt {
                    column: "cluster.token",
                    reason: "it is no token".to_owned(),
                })?,
            );
            last = Some(Cursor(row.try_get("id")?));
        }
        let mut clusters = self.load_all(&tokens).await?.clusters;
        clusters.sort_by_key(|cluster| tokens.iter().position(|token| *token == cluster.token));
        Ok((clusters, last.filter(|_| is_more)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(CursorError)?;
        Ok(Self(number as i64))
    }
}
