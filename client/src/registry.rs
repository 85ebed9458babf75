//! A client of the `/v1` API of `convene-server`.

mod cluster;
mod contact;
mod error;
mod event;
mod instruction;
mod join_token;
mod member;
mod node;
mod pinned_ca;
mod report;
mod request;
mod verbatim;

use std::time::{Duration, SystemTime};

use convene_etcd::{Tls, TlsIdentity};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, Response};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    admin_token::AdminToken,
    credential::Shown,
    discovery_url::{DiscoveryUrl, ServerUrl},
    session::CheckInOptions,
};
use contact::Contact;

pub use cluster::{Cluster, ClusterPage, FreedToken, Held, NewCluster, Policy, PolicySettings, PublicName, Ticket};
#[cfg(test)]
pub use error::Problem;
pub use error::{ClearTextToken, RegistryError, SetupError};
pub use event::{Event, Events};
pub use instruction::{ExpectedMember, Instruction, Start, Task, Terms};
pub use join_token::{JoinToken, JoinTokens, NewJoinToken};
pub use member::{Member, Members};
pub use node::{Node, Nodes};
pub use pinned_ca::CaPin;
pub use report::{ObservedMember, Refusal, Report, State, View};
pub use request::Request;
pub use verbatim::Verbatim;

/// How long one request may take, in addition to the time for which the server may hold a long poll.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting may take, as a part of [`REQUEST_TIMEOUT`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest response that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How a registry is reached.
#[derive(Clone, Debug, Default)]
pub struct RegistryAccess {
    /// The trusted CA and the client certificate. A pin in the URL replaces the CA.
    pub tls: Tls,
    /// Whether another machine is called in clear text, too.
    pub allows_clear_text: bool,
}

/// A `convene-server`.
#[derive(Clone, Debug)]
pub struct Registry {
    http: Client,
    server: ServerUrl,
    contact: Contact,
    admin_token: Option<AdminToken>,
}

impl Registry {
    /// A client for a server. For `https`, it trusts the CA of the URL's pin alone, or the CA that is given, or else the system's
    /// CAs. In clear text it calls other machines only if that is allowed: whoever is on the way could read the token, and
    /// instruct the node.
    pub fn new(server: ServerUrl, access: &RegistryAccess) -> Result<Self, SetupError> {
        if !server.is_https() && !server.is_loopback() && !access.allows_clear_text {
            return Err(SetupError::ClearText { server });
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("convene/", env!("CARGO_PKG_VERSION")))
            // etcd ignores HTTP_PROXY for discovery too, unless it has a flag for it
            // (`server/etcdserver/api/v2discovery/discovery.go:newProxyFunc`).
            .no_proxy()
            // A redirect would carry the token to another host.
            .redirect(reqwest::redirect::Policy::none());
        let http = match server.pin() {
            Some(pin) => http.tls_backend_preconfigured(pinned_ca::config(pin, access.tls.identity.as_ref())?),
            None => with_tls(http, &server, &access.tls)?,
        };
        let http = http.build().map_err(|error| SetupError::unusable("TLS", &error))?;
        Ok(Self { http, server, contact: Contact::default(), admin_token: None })
    }

    /// The same client, which sends an API token with each request. Only to who can't be anybody else: a server whose certificate was
    /// verified, or this machine.
    pub fn with_admin_token(self, token: Option<AdminToken>) -> Result<Self, ClearTextToken> {
        let is_safe = self.server.is_https() || self.server.is_loopback();
        match token {
            Some(_) if !is_safe => Err(ClearTextToken(self.server)),
            admin_token => Ok(Self { admin_token, ..self }),
        }
    }

    /// The server's URL.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Whether the last request got no answer. A refusal is an answer, too.
    pub fn is_lost(&self) -> bool {
        self.contact.is_lost()
    }

    /// When the registry last answered a request of this client, if it has.
    pub fn answered_at(&self) -> Option<SystemTime> {
        self.contact.answered_at()
    }

    /// Checks in, and returns the instruction.
    pub async fn check_in(
        &self,
        cluster: &DiscoveryUrl,
        report: &Report<'_>,
        options: CheckInOptions,
        shown: Shown,
    ) -> Result<Instruction, RegistryError> {
        let request = |query: &str, wait| {
            let path = format!("/v1/clusters/{}/check-in{query}", cluster.token.as_str());
            Request::new(Method::POST, path).body(Some(report)).show(shown.clone()).long_poll(wait)
        };
        let instruction = match options.wait.as_secs() {
            _ if options.dry_run => self.send(request("?dry_run=true", Duration::ZERO)).await,
            0 => self.send(request("", Duration::ZERO)).await,
            wait => match self.send(request(&format!("?wait={wait}"), options.wait)).await {
                // During an update of several servers, one may offer to hold a response, and an older one not know how.
                Err(RegistryError::Refused(problem)) if problem.status == 400 => {
                    self.send(request("", Duration::ZERO)).await
                }
                result => result,
            },
        };
        instruction.map_err(|error: RegistryError| error.about_cluster(&self.server))
    }

    /// The members of a cluster, including those that were removed.
    pub async fn members(&self, cluster: &DiscoveryUrl) -> Result<Members, RegistryError> {
        let path = format!("/v1/clusters/{}/members?removed=true", cluster.token.as_str());
        self.get(&path).await.map_err(|error| error.about_cluster(&self.server))
    }

    /// Whether the server says that everybody who reaches it may administer it. One that does not answer says nothing.
    pub async fn is_exposed(&self) -> bool {
        let checks = self.send_raw(Request::new(Method::GET, "/readyz?verbose")).await;
        checks.is_ok_and(|checks| checks.starts_with(b"[!]auth off"))
    }

    /// Calls one of the API's paths, and reads the response.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, RegistryError> {
        self.send(Request::new(method, path).body(body)).await
    }

    /// Reads one of the API's paths.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RegistryError> {
        self.send(Request::new(Method::GET, path)).await
    }

    /// Calls one of the API's paths, and ignores the body of the response.
    pub async fn call_without_response(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(), RegistryError> {
        let request = Request::new(method, path).body(body);
        self.recorded(Duration::ZERO, self.send_raw(request)).await.map(drop)
    }

    /// Sends a request, and reads the response.
    pub async fn send<T: DeserializeOwned>(&self, request: Request) -> Result<T, RegistryError> {
        self.recorded(request.held(), async {
            let body = self.send_raw(request).await?;
            serde_json::from_slice(&body).map_err(|error| RegistryError::NotConvene {
                server: self.server.clone(),
                problem: format!("is not a Convene server: {error}"),
            })
        })
        .await
    }

    async fn recorded<T>(
        &self,
        held: Duration,
        call: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        self.contact.record_request(held);
        let result = call.await;
        self.contact.record_result(&result);
        result
    }

    async fn send_raw(&self, request: Request) -> Result<Vec<u8>, RegistryError> {
        let unreachable = |error| RegistryError::unreachable(&self.server, &error);
        let mut request = request.build(&self.http, &self.server);
        if let Some(token) = &self.admin_token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = read(response).await.map_err(unreachable)?.ok_or_else(|| RegistryError::NotConvene {
            server: self.server.clone(),
            problem: "sends a response of more than 1 MiB".to_owned(),
        })?;
        match status.is_success() {
            true => Ok(body),
            false => Err(RegistryError::from_response(&self.server, status, &body)),
        }
    }
}

/// The body of a response; `None` if it is too long. The time-out of the request also limits this.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn with_tls(mut http: ClientBuilder, server: &ServerUrl, tls: &Tls) -> Result<ClientBuilder, SetupError> {
    if !server.is_https() {
        // Otherwise building the client would fail on a machine without any CA certificates.
        http = http.tls_certs_only([]);
    } else if let Some(ca) = &tls.ca {
        let ca = Certificate::from_pem_bundle(ca).map_err(|error| SetupError::unusable("the CA", &error))?;
        http = http.tls_certs_only(ca);
    }
    if let Some(TlsIdentity { cert, key }) = &tls.identity {
        let pem = [&cert[..], b"\n", key].concat();
        let identity = Identity::from_pem(&pem).map_err(|error| SetupError::unusable(CLIENT_CERTIFICATE, &error))?;
        http = http.identity(identity);
    }
    Ok(http)
}

/// The client certificate in an error.
const CLIENT_CERTIFICATE: &str = "the client certificate with its key";
