use std::str::FromStr;

use convene_lifecycle::{Token, UnixMillis};
use sqlx::postgres::PgListener;

use super::{Database, Store, StoreError, statement::Statement};

/// The channel on which servers tell each other which clusters they have changed.
const CHANNEL: &str = "convene";

/// PostgreSQL takes less than 8000 bytes at a time.
const MAX_PAYLOAD: usize = 7_900;

/// Hears from the other servers of a database which clusters they have changed.
pub struct NotificationListener {
    listener: PgListener,
    own: String,
}

/// What is heard from other servers.
#[derive(Debug, PartialEq, Eq)]
pub enum Notification {
    /// Clusters that another server has changed.
    Changed(Vec<Token>),
    /// The connection is lost: what is announced from now on is not heard.
    ConnectionLost,
}

impl Store {
    /// Tells the other servers of the database, under a name of one's own, that clusters have changed.
    ///
    /// It is no part of the transaction that changed them: PostgreSQL would commit such transactions one after another
    /// (`src/backend/commands/async.c:PreCommit_Notify`). What gets lost by that, others find by looking.
    pub async fn notify(&self, own: &str, tokens: &[Token]) -> Result<(), StoreError> {
        for payload in payloads(own, tokens) {
            let statement = Statement::new("select pg_notify($1, $2)").bind(CHANNEL).bind(payload);
            self.read(async |reader| Ok(reader.fetch_all(statement).await.map(drop)?)).await?;
        }
        Ok(())
    }

    /// Listens to the other servers of the database. `None` on a database that has only one.
    pub async fn listen(&self, own: &str) -> Result<Option<NotificationListener>, StoreError> {
        let Database::Postgres(database) = &self.database else { return Ok(None) };
        let mut listener = PgListener::connect_with(&database.listener()).await?;
        // While it connects again nothing is heard, and it does not say so.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Some(NotificationListener { listener, own: own.to_owned() }))
    }

    /// The database's clock, which all of its servers go by; `None` on a database that has only one.
    pub async fn clock(&self) -> Result<Option<UnixMillis>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let text = "select (extract(epoch from clock_timestamp()) * 1000)::bigint as now";
        let row = self.read(async |reader| Ok(reader.fetch_one(Statement::new(text)).await?)).await?;
        Ok(Some(UnixMillis(row.try_get("now")?)))
    }
}

impl NotificationListener {
    /// What is heard next.
    pub async fn next(&mut self) -> Result<Notification, StoreError> {
        loop {
            let Some(notification) = self.listener.try_recv().await? else { return Ok(Notification::ConnectionLost) };
            if let Some(tokens) = tokens_from_other_server(&self.own, notification.payload()) {
                return Ok(Notification::Changed(tokens));
            }
        }
    }
}

/// The announcer's name and tokens, with spaces between.
fn payloads(own: &str, tokens: &[Token]) -> Vec<String> {
    let mut payloads = Vec::new();
    let mut payload = own.to_owned();
    for token in tokens {
        if payload.len() + 1 + token.as_str().len() > MAX_PAYLOAD {
            payloads.push(std::mem::replace(&mut payload, own.to_owned()));
        }
        payload.push(' ');
        payload.push_str(token.as_str());
    }
    payloads.push(payload);
    payloads
}

/// The tokens of another server's announcement; `None` for our own.
fn tokens_from_other_server(own: &str, payload: &str) -> Option<Vec<Token>> {
    let mut words = payload.split(' ');
    (words.next() != Some(own)).then(|| words.filter_map(|word| Token::from_str(word).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tokens_are_announced_in_several_pieces_that_others_understand() {
        let tokens: Vec<Token> = (0..200).map(|n| format!("{n:0>128}").parse().unwrap()).collect();
        let payloads = payloads("me", &tokens);
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
        let heard: Vec<Token> =
            payloads.iter().flat_map(|payload| tokens_from_other_server("you", payload).unwrap()).collect();
        assert_eq!(heard, tokens);
        assert!(payloads.iter().all(|payload| tokens_from_other_server("me", payload).is_none()));
    }
}
