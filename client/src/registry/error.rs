use std::error::Error;

use convene_etcd::explain_tls_error;
use reqwest::StatusCode;
use serde::Deserialize;
use thiserror::Error as ThisError;

use crate::{credential::CredentialError, discovery_url::ServerUrl, own_reason::OwnReason};

/// Why a request to the registry failed.
#[derive(Debug, ThisError)]
pub enum RegistryError {
    /// No response came.
    #[error("the registry at {server} is unreachable: {cause}")]
    Unreachable {
        /// The server.
        server: ServerUrl,
        /// Why no response came.
        cause: String,
    },
    /// The server, or a proxy in front of it, cannot handle requests at the moment.
    #[error("the registry at {server} is unavailable (HTTP {status}{detail})")]
    Unavailable {
        /// The server.
        server: ServerUrl,
        /// The HTTP status.
        status: u16,
        /// The detail of the response, after a colon; empty if there is none.
        detail: String,
    },
    /// The response is not one of a Convene server.
    #[error("the registry at {server} {problem}")]
    NotConvene {
        /// The URL.
        server: ServerUrl,
        /// What is wrong with the response.
        problem: String,
    },
    /// The server does not know the cluster's token.
    #[error("the registry at {server} does not know this cluster (deleted, or wrong URL)")]
    UnknownCluster {
        /// The server.
        server: ServerUrl,
    },
    /// The server refuses the request.
    #[error("{0}")]
    Refused(Problem),
    /// The server does not let this node speak for its name (HTTP 401 or 403).
    #[error("the registry does not admit this node: {} ({})", .0.detail, .0.code.as_deref().unwrap_or("forbidden"))]
    Denied(Problem),
    /// This node can't use its own credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// The server's description of an error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    title: String,
    detail: String,
    #[serde(default)]
    violations: Vec<Violation>,
    revision: Option<u64>,
    /// Why a node is not admitted.
    code: Option<String>,
    /// Whether the same request may succeed later.
    #[serde(default)]
    may_pass: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Violation {
    field: String,
    message: String,
}

/// Why a registry is not called at all.
#[derive(Debug, ThisError)]
pub enum SetupError {
    /// The CA, the certificate or the key for the connection cannot be used.
    #[error("cannot use {what} for the registry (--discovery-cacert, --discovery-cert, --discovery-key): {cause}")]
    Unusable {
        /// What cannot be used.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// The server is another machine, and would be called in clear text.
    #[error(
        "the registry at {server} would be called in clear text: anybody on the network path could read the cluster's \
         token, and instruct this node. Use https://, or set --insecure-discovery (CONVENE_INSECURE_DISCOVERY=true) if \
         nobody else is on the network path"
    )]
    ClearText {
        /// The server.
        server: ServerUrl,
    },
}

/// An API token must not be sent to another machine in clear text.
#[derive(Debug, ThisError)]
#[error("the API token of --admin-token-file is not sent to {0} in clear text; use the server's https:// URL")]
pub struct ClearTextToken(pub(super) ServerUrl);

impl RegistryError {
    /// From a request that got no response.
    pub(super) fn unreachable(server: &ServerUrl, error: &reqwest::Error) -> Self {
        let cause =
            if error.is_timeout() { "no response in time".to_owned() } else { explain_tls_error(&root_cause(error)) };
        Self::Unreachable { server: server.clone(), cause }
    }

    /// From a response whose status is not a success.
    pub(super) fn from_response(server: &ServerUrl, status: StatusCode, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<Problem>(body).ok();
        let server = server.clone();
        match problem {
            _ if status.is_redirection() => {
                let problem = format!("redirects ({status}); use the URL that it redirects to");
                Self::NotConvene { server, problem }
            }
            problem if status.is_server_error() || is_temporary(status) => {
                let detail = problem.map(|problem| format!(": {}", problem.detail)).unwrap_or_default();
                Self::Unavailable { server, status: status.as_u16(), detail }
            }
            Some(problem) if problem.code.is_some() && matches!(problem.status, 401 | 403) => Self::Denied(problem),
            Some(problem) => Self::Refused(problem),
            None => Self::NotConvene { server, problem: format!("is not a Convene server: it responds with {status}") },
        }
    }

    /// The same error of a request about a cluster: "not found" means that the server does not know the cluster.
    pub(super) fn about_cluster(self, server: &ServerUrl) -> Self {
        if self.is_not_found() { Self::UnknownCluster { server: server.clone() } } else { self }
    }

    /// Whether the same request would fail again.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(_) | Self::UnknownCluster { .. } | Self::Credential(_) => true,
            Self::Denied(problem) => !problem.may_pass,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::NotConvene { .. } => false,
        }
    }

    /// Why the registry does not admit this node, if it does not.
    pub fn denial(&self) -> Option<&str> {
        match self {
            Self::Denied(problem) => problem.code.as_deref(),
            _ => None,
        }
    }

    /// Whether the registry has answered: its refusal is no outage.
    pub fn is_answer(&self) -> bool {
        self.is_permanent() || self.denial().is_some()
    }

    /// The same denial with what this node knows about it, before what a person can do.
    pub fn with_hint(mut self, hint: &str) -> Self {
        if let Self::Denied(problem) = &mut self {
            problem.detail = match problem.detail.split_once("; ") {
                Some((found, remedy)) => format!("{found}; {hint}; otherwise, {remedy}"),
                None => format!("{}; {hint}", problem.detail),
            };
        }
        self
    }

    /// The reason code for the progress log and for results.
    pub fn reason(&self) -> &'static str {
        let reason = match self {
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::NotConvene { .. } => OwnReason::Unreachable,
            Self::UnknownCluster { .. } => OwnReason::UnknownCluster,
            Self::Refused(_) => OwnReason::Refused,
            Self::Denied(_) => OwnReason::NotAdmitted,
            Self::Credential(_) => OwnReason::Credential,
        };
        reason.as_str()
    }

    /// Whether the registry does not know the cluster, or another resource of the request (HTTP 404).
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::UnknownCluster { .. } => true,
            Self::Refused(problem) => problem.status == 404,
            _ => false,
        }
    }

    /// Whether the cluster has changed since it was read (HTTP 412).
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 412)
    }

    /// The revision to continue from, if the server no longer has the events of the request (HTTP 410): the oldest
    /// revision that it has, or the present one if that is lower than the requested one.
    pub fn compacted(&self) -> Option<u64> {
        match self {
            Self::Refused(problem) if problem.status == 410 => problem.revision,
            _ => None,
        }
    }
}

impl SetupError {
    pub(super) fn unusable(what: &'static str, error: &reqwest::Error) -> Self {
        Self::Unusable { what, cause: root_cause(error) }
    }
}

/// Whether a 4xx status is about this moment and not about the request.
fn is_temporary(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// The innermost cause. reqwest's own message only repeats the URL, which has the token in it.
fn root_cause(error: &reqwest::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    if std::ptr::addr_eq(last, error) { "it does not speak HTTP".to_owned() } else { last.to_string() }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.violations.is_empty() {
            return write!(f, "{}: {}", self.title, self.detail);
        }
        let violations: Vec<String> =
            self.violations.iter().map(|violation| format!("{} {}", violation.field, violation.message)).collect();
        write!(f, "{}: {}", self.title, violations.join("; "))
    }
}
