use std::str::FromStr;

use convene_lifecycle::{Token, UnixMillis};
use sqlx::postgres::PgListener;
use tokio::time::timeout;

use super::{Database, DatabaseLimits, Store, StoreError, statement::Statement};

/// The channel on which servers notify each other of changed clusters.
const CHANNEL: &str = "convene";

/// What precedes the number of a beat. No token has this character, so servers that know no beats ignore it.
const BEAT: char = '@';

/// The longest payload, in bytes. PostgreSQL takes less than 8000.
const MAX_PAYLOAD: usize = 7_900;

/// Receives notifications of the other servers of a database.
pub struct NotificationListener {
    listener: PgListener,
    own: String,
}

/// A notification, or the end of them.
#[derive(Debug, PartialEq, Eq)]
pub enum Notification {
    /// Another server has changed these clusters.
    Changed(Vec<Token>),
    /// This server's own [`Store::beat`] with this number has come back.
    Beat(u64),
    /// The connection is lost. Later notifications do not arrive.
    ConnectionLost,
}

impl Store {
    /// Notifies the other servers of the database of changed clusters. `own` identifies the sender.
    ///
    /// This is not part of the transaction that changed them, because PostgreSQL commits transactions with a NOTIFY one after
    /// another (`src/backend/commands/async.c:PreCommit_Notify`). Other servers find a change by polling if its notification
    /// gets lost.
    pub async fn notify(&self, own: &str, tokens: &[Token]) -> Result<(), StoreError> {
        for payload in payloads(own, tokens) {
            let statement = Statement::new("select pg_notify($1, $2)").bind(CHANNEL).bind(payload);
            self.read(async |reader| Ok(reader.fetch_all(statement).await.map(drop)?)).await?;
        }
        Ok(())
    }

    /// Notifies this server itself, to find out whether notifications arrive.
    pub async fn beat(&self, own: &str, number: u64) -> Result<(), StoreError> {
        let statement = Statement::new("select pg_notify($1, $2)").bind(CHANNEL).bind(format!("{own} {BEAT}{number}"));
        self.read(async |reader| Ok(reader.fetch_all(statement).await.map(drop)?)).await
    }

    /// Listens for notifications of the other servers. `None` if the database is not shared.
    pub async fn listen(&self, own: &str) -> Result<Option<NotificationListener>, StoreError> {
        let Database::Postgres(database) = &self.database else { return Ok(None) };
        let pool = database.listener();
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            // A listener that reconnects by itself does not report the gap.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(Some(NotificationListener { listener, own: own.to_owned() }))
        };
        let limit = self.limits.acquire_timeout + DatabaseLimits::ANSWER;
        timeout(limit, listening).await.unwrap_or(Err(StoreError::TimedOut(limit)))
    }

    /// The time of the database's clock; `None` if the database is not shared.
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
    /// Waits for the next notification.
    pub async fn next(&mut self) -> Result<Notification, StoreError> {
        loop {
            let Some(notification) = self.listener.try_recv().await? else { return Ok(Notification::ConnectionLost) };
            if let Some(number) = own_beat(&self.own, notification.payload()) {
                return Ok(Notification::Beat(number));
            }
            match tokens_from_other_server(&self.own, notification.payload()) {
                Some(tokens) if !tokens.is_empty() => return Ok(Notification::Changed(tokens)),
                _ => {}
            }
        }
    }
}

/// The sender and tokens, with spaces in between, in as many payloads as it takes.
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

/// The number of this server's own beat; `None` if the payload is something else.
fn own_beat(own: &str, payload: &str) -> Option<u64> {
    payload.strip_prefix(own)?.trim_start().strip_prefix(BEAT)?.parse().ok()
}

/// The tokens in another server's payload; `None` if it is this server's own.
fn tokens_from_other_server(own: &str, payload: &str) -> Option<Vec<Token>> {
    let mut words = payload.split(' ');
    (words.next() != Some(own)).then(|| words.filter_map(|word| Token::from_str(word).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tokens_are_split_into_payloads_that_other_servers_understand() {
        let tokens: Vec<Token> = (0..200).map(|n| format!("{n:0>128}").parse().unwrap()).collect();
        let payloads = payloads("me", &tokens);
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
        let received: Vec<Token> =
            payloads.iter().flat_map(|payload| tokens_from_other_server("you", payload).unwrap()).collect();
        assert_eq!(received, tokens);
        assert!(payloads.iter().all(|payload| tokens_from_other_server("me", payload).is_none()));
        assert!(payloads.iter().all(|payload| own_beat("me", payload).is_none()));
    }

    #[test]
    fn a_beat_is_for_its_sender_and_nothing_to_other_servers() {
        assert_eq!(own_beat("me", "me @7"), Some(7));
        assert_eq!(own_beat("you", "me @7"), None);
        assert_eq!(tokens_from_other_server("you", "me @7"), Some(Vec::new()));
    }
}
