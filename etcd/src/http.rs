use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Response, StatusCode, header::HeaderMap};
use tokio::time::timeout;

use crate::{
    EtcdError, Tls,
    classify::{CLOSED_ON_HTTP, connection_failed, connection_lost, describe, is_https},
    client::TCP_USER_TIMEOUT,
};

/// Sends GET requests to etcds, without a password or a token. URLs with `http://` are called in clear text, if that is allowed.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    tls: Tls,
    /// Trusts only the configured CA, if any.
    own: Client,
    /// Trusts the CAs of the system. Created on demand, because clear text also works on a system without CAs.
    system: Arc<OnceLock<Client>>,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The error if no etcd answers this way.
    pub fn unexpected(&self, endpoint: &str) -> EtcdError {
        let text: String = String::from_utf8_lossy(&self.body).trim().chars().take(200).collect();
        EtcdError::BadAnswer { endpoint: endpoint.to_owned(), reason: format!("{} {text:?}", self.status) }
    }
}

impl HttpClient {
    pub fn new(tls: &Tls) -> Result<Self, EtcdError> {
        let own = build(tls.trust_own(builder())?, tls)?;
        Ok(Self { tls: tls.clone(), own, system: Arc::default() })
    }

    /// Whether this URL is called at all.
    pub fn calls(&self, endpoint: &str) -> bool {
        self.tls.check_scheme(endpoint).is_ok()
    }

    /// The answer to `GET ENDPOINT/PATH`, if it comes in time, has the status 200 and is not longer than `max_bytes`.
    pub async fn get(
        &self,
        endpoint: &str,
        path: &str,
        max_bytes: usize,
        within: Duration,
    ) -> Result<Answer, EtcdError> {
        let answer = self.get_any_status(endpoint, path, HeaderMap::new(), max_bytes, within).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected(endpoint));
        }
        Ok(answer)
    }

    /// The answer to `GET ENDPOINT/PATH` with these headers, whatever its status.
    pub async fn get_any_status(
        &self,
        endpoint: &str,
        path: &str,
        headers: HeaderMap,
        max_bytes: usize,
        within: Duration,
    ) -> Result<Answer, EtcdError> {
        timeout(within, self.get_without_timeout(endpoint, path, headers, max_bytes)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {within:?}");
            Err(EtcdError::TimedOut { endpoint: endpoint.to_owned(), reason })
        })
    }

    async fn get_without_timeout(
        &self,
        endpoint: &str,
        path: &str,
        headers: HeaderMap,
        max_bytes: usize,
    ) -> Result<Answer, EtcdError> {
        let failed = |error: reqwest::Error| from_http(endpoint, &error);
        let bad = |reason: String| EtcdError::BadAnswer { endpoint: endpoint.to_owned(), reason };

        self.tls.check_scheme(endpoint)?;
        let request = self.client(endpoint)?.get(format!("{endpoint}/{path}")).headers(headers);
        let answer = request.send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = read(answer, max_bytes).await.map_err(failed)?;
        let body = body.ok_or_else(|| bad(format!("the response is longer than {max_bytes} bytes")))?;
        Ok(Answer { status, headers, body })
    }

    /// The client for a URL.
    fn client(&self, url: &str) -> Result<&Client, EtcdError> {
        if self.tls.ca.is_some() || !is_https(url) {
            return Ok(&self.own);
        }
        if let Some(system) = self.system.get() {
            return Ok(system);
        }
        let system = build(builder(), &self.tls)?;
        Ok(self.system.get_or_init(|| system))
    }
}

fn builder() -> ClientBuilder {
    // A proxy may not know the members' host names.
    let client = Client::builder().no_proxy().http1_only().redirect(reqwest::redirect::Policy::none());
    client.tcp_user_timeout(TCP_USER_TIMEOUT)
}

fn build(client: ClientBuilder, tls: &Tls) -> Result<Client, EtcdError> {
    tls.identify(client)?.build().map_err(|error| EtcdError::UnusableTls { reason: describe(&error) })
}

/// The body of a response, unless it is too long.
async fn read(mut answer: Response, max_bytes: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn from_http(endpoint: &str, error: &reqwest::Error) -> EtcdError {
    // The outermost error only repeats the URL of the request.
    let cause = error.source().unwrap_or(error);
    let failed = if error.is_connect() { connection_failed(endpoint, cause) } else { connection_lost(endpoint, cause) };
    match failed {
        // A port with TLS closes a connection in clear text this way. A member that stops at this moment looks the same, but
        // the next call then finds no listener.
        EtcdError::ConnectionLost { endpoint, reason }
            if !is_https(&endpoint) && reason.contains("connection closed before message completed") =>
        {
            EtcdError::TlsFailed { endpoint, reason: CLOSED_ON_HTTP.to_owned(), closed: true }
        }
        failed => failed,
    }
}
