//! Requests to the servers that a test runs.

use std::{fs, path::Path};

use reqwest::{Certificate, Client, IntoUrl, Response};

use crate::tls::Identity;

/// A client for plain HTTP. It asks no proxy and trusts no certificate: reading those of the machine takes longer than
/// most requests here, and a client is made for each of them.
pub fn client() -> Client {
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// A client for TLS that trusts one CA only, and shows a certificate if it has one.
pub fn tls_client(ca: &Path, identity: Option<&Identity>) -> Client {
    let ca = Certificate::from_pem(&fs::read(ca).unwrap()).unwrap();
    let mut builder = Client::builder().no_proxy().tls_certs_only([ca]);
    if let Some(Identity { certificate, key, .. }) = identity {
        let pem = [fs::read(key).unwrap(), fs::read(certificate).unwrap()].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).unwrap());
    }
    builder.build().unwrap()
}

/// One request, by a client of its own.
pub async fn get(url: impl IntoUrl) -> reqwest::Result<Response> {
    client().get(url).send().await
}
