//! Requests to the servers that a test runs.

use reqwest::{Client, IntoUrl, Response};

/// A client for plain HTTP. It asks no proxy and trusts no certificate: reading those of the machine takes longer than
/// most requests here, and a client is made for each of them.
pub fn client() -> Client {
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// One request, by a client of its own.
pub async fn get(url: impl IntoUrl) -> reqwest::Result<Response> {
    client().get(url).send().await
}
