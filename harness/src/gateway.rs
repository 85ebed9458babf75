use std::{fs, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::Access;

/// etcd as it is reached over HTTP with JSON, by a client that stays connected: etcdctl would be a process for every
/// request.
pub(crate) struct Gateway {
    client: Client,
    user: Option<(String, String)>,
    token: Option<String>,
}

impl Gateway {
    /// A client that waits only so long for each answer.
    pub fn new(access: &Access, limit: Duration) -> Self {
        let mut client = Client::builder().no_proxy().timeout(limit).connect_timeout(limit);
        if let Some(identity) = &access.identity {
            let read = |file| fs::read(file).unwrap();
            let both = [read(&identity.certificate), read(&identity.key)].concat();
            client = client
                .tls_certs_only([Certificate::from_pem(&read(&identity.ca)).unwrap()])
                .identity(Identity::from_pem(&both).unwrap());
        }
        Self { client: client.build().unwrap(), user: access.user.clone(), token: None }
    }

    /// Writes one key.
    pub async fn put(&mut self, endpoint: &str, key: &str, value: &str) -> Result<(), String> {
        let request = json!({ "key": BASE64_STANDARD.encode(key), "value": BASE64_STANDARD.encode(value) });
        self.ask(endpoint, "/v3/kv/put", &request).await.map(drop)
    }

    /// The keys from one on and before another, as far as etcd shows them at once, and whether there are more. The
    /// read is linearizable.
    pub async fn keys(&mut self, endpoint: &str, from: &str, before: &str) -> Result<(Vec<String>, bool), String> {
        let (from, before) = (BASE64_STANDARD.encode(from), BASE64_STANDARD.encode(before));
        let request = json!({ "key": from, "range_end": before, "keys_only": true, "limit": 5_000 });
        let answer = self.ask(endpoint, "/v3/kv/range", &request).await?;
        let listed = answer["kvs"].as_array().into_iter().flatten();
        let keys = listed.map(|listed| {
            let key = BASE64_STANDARD.decode(listed["key"].as_str()?).ok()?;
            String::from_utf8(key).ok()
        });
        let keys = keys.collect::<Option<_>>().ok_or_else(|| format!("unreadable keys: {answer}"))?;
        Ok((keys, answer["more"].as_bool().unwrap_or(false)))
    }

    async fn ask(&mut self, endpoint: &str, path: &str, request: &Value) -> Result<Value, String> {
        if let (Some((name, password)), None) = (&self.user, &self.token) {
            let credentials = json!({ "name": name, "password": password });
            let answer = self.send(endpoint, "/v3/auth/authenticate", &credentials).await?;
            self.token = answer["token"].as_str().map(str::to_owned);
        }
        let answer = self.send(endpoint, path, request).await;
        if answer.is_err() {
            // It may be the token's fault: etcd forgets it after a while.
            self.token = None;
        }
        answer
    }

    async fn send(&self, endpoint: &str, path: &str, request: &Value) -> Result<Value, String> {
        let mut post = self.client.post(format!("{endpoint}{path}")).json(request);
        if let Some(token) = &self.token {
            post = post.header("authorization", token);
        }
        let failed = |error: reqwest::Error| format!("{endpoint}: {error:?}");
        let answer = post.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() => Ok(value),
            _ => Err(format!("{endpoint}: {status}: {text}")),
        }
    }
}
