//! The `convene-server`, as a client of its API sees it.

mod cluster;
mod error;
mod event;
mod instruction;
mod member;
mod report;
mod request;
mod sent;

use std::time::Duration;

use convene_etcd::Tls;
use reqwest::{Certificate, Client, Identity, Method};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    discovery_url::{DiscoveryUrl, ServerUrl},
    exit::Failure,
};

pub use cluster::{Cluster, ClusterPage, NewCluster, NewPolicy, Policy, Ticket};
pub use error::RegistryError;
pub use event::{Event, Events};
pub use instruction::{Expected, Instruction, Start, Task, Terms};
pub use member::{Member, Members};
pub use report::{ObservedMember, Report, State, View};
pub use request::Request;
pub use sent::Sent;

/// How long one request may take if the server does not hold its answer back, and connecting as a part of it.
const REQUEST: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);

/// A server.
#[derive(Clone, Debug)]
pub struct Registry {
    http: Client,
    server: ServerUrl,
}

impl Registry {
    /// A server that is reached at a URL; with `https`, through these certificates or the system's.
    pub fn new(server: ServerUrl, tls: &Tls) -> Result<Self, Failure> {
        let mut http = Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("convene/", env!("CARGO_PKG_VERSION")))
            // As etcd does when it asks a discovery service (`server/etcdserver/api/v2discovery/discovery.go:newProxyFunc`).
            .no_proxy()
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        if !server.is_https() {
            // Else a machine without certificates of any CA could not even ask in clear.
            http = http.tls_certs_only([]);
        } else if let Some(ca) = &tls.ca {
            http = http.tls_certs_only(Certificate::from_pem_bundle(ca).map_err(|error| unusable("the CA", &error))?);
        }
        if let Some(identity) = &tls.identity {
            let pem = [&identity.cert[..], b"\n", &identity.key].concat();
            http = http
                .identity(Identity::from_pem(&pem).map_err(|error| unusable("the certificate with its key", &error))?);
        }
        let http = http.build().map_err(|error| unusable("TLS", &error))?;
        Ok(Self { http, server })
    }

    /// The server's URL.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Checks in, and hears what to do next. With `dry_run` nothing changes by it.
    pub async fn check_in(
        &self,
        cluster: &DiscoveryUrl,
        report: &Report<'_>,
        dry_run: bool,
    ) -> Result<Instruction, RegistryError> {
        let query = if dry_run { "?dry_run=true" } else { "" };
        let path = format!("/v1/clusters/{}/check-in{query}", cluster.token.as_str());
        self.ask(Method::POST, &path, Some(report)).await
    }

    /// Sends a request to one of the API's paths, and reads the answer.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, RegistryError> {
        self.answer(Request::new(method, path).body(body)).await
    }

    /// Reads one of the API's paths.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RegistryError> {
        self.answer(Request::new(Method::GET, path)).await
    }

    /// Sends a request whose answer, if there is any, says nothing new.
    pub async fn tell(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<(), RegistryError> {
        self.send(Request::new(method, path).body(body)).await.map(drop)
    }

    /// Sends a request, and reads the answer.
    pub async fn answer<T: DeserializeOwned>(&self, request: Request) -> Result<T, RegistryError> {
        let answer = self.send(request).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| RegistryError::NotOurs { server: self.server.clone(), what: error.to_string() })
    }

    async fn send(&self, request: Request) -> Result<Vec<u8>, RegistryError> {
        let unreachable = |error| RegistryError::unreachable(&self.server, &error);
        let answer = request.over(&self.http, &self.server).send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        if status.is_success() { Ok(body.into()) } else { Err(RegistryError::from_answer(&self.server, status, &body)) }
    }
}

fn unusable(what: &str, error: &reqwest::Error) -> Failure {
    let causes = error::causes(error);
    Failure::Usage(format!(
        "{what} for talking to the registry (--discovery-cacert, --discovery-cert, --discovery-key) can't be used: {causes}"
    ))
}
