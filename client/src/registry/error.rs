use std::error::Error;

use reqwest::StatusCode;
use serde::Deserialize;
use thiserror::Error as ThisError;

use crate::discovery_url::ServerUrl;

/// Why the registry gave no answer that helps.
#[derive(Debug, ThisError)]
pub enum RegistryError {
    /// No answer came.
    #[error("the registry at {server} can't be reached: {why}")]
    Unreachable {
        /// Which.
        server: ServerUrl,
        /// What stood in the way.
        why: String,
    },
    /// It, or a proxy before it, can't answer now.
    #[error("the registry at {server} can't answer now ({status}{detail})")]
    Unavailable {
        /// Which.
        server: ServerUrl,
        /// The HTTP status.
        status: u16,
        /// What it said about it, after a colon.
        detail: String,
    },
    /// Something answers that is no registry.
    #[error("what answers at {server} does not answer as a convene-server does: {what}")]
    NotOurs {
        /// Where.
        server: ServerUrl,
        /// What is wrong with the answer.
        what: String,
    },
    /// It says no.
    #[error("{0}")]
    Refused(Problem),
}

/// What the registry refuses (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    title: String,
    detail: String,
    #[serde(default)]
    violations: Vec<Violation>,
    revision: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Violation {
    field: String,
    message: String,
}

impl RegistryError {
    /// From a request that got no answer.
    pub(super) fn unreachable(server: &ServerUrl, error: &reqwest::Error) -> Self {
        let why = if error.is_timeout() { "it does not answer in time".to_owned() } else { causes(error) };
        Self::Unreachable { server: server.clone(), why }
    }

    /// From an answer that is no success.
    pub(super) fn from_answer(server: &ServerUrl, status: StatusCode, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<Problem>(body).ok();
        let server = server.clone();
        match problem {
            _ if status.is_redirection() => {
                Self::NotOurs { server, what: format!("it redirects ({status}); give the URL that it points to") }
            }
            problem if status.is_server_error() || passes(status) => {
                let detail = problem.map(|problem| format!(": {}", problem.detail)).unwrap_or_default();
                Self::Unavailable { server, status: status.as_u16(), detail }
            }
            Some(problem) => Self::Refused(problem),
            None => Self::NotOurs { server, what: format!("it says {status}") },
        }
    }

    /// Whether asking again would get the same answer.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether the registry does not know the cluster, or anything else that was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 404)
    }

    /// Whether the cluster has changed since it was read.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 412)
    }

    /// If the events that were asked for have been forgotten: the oldest revision there is, or the present one if that
    /// is before the revision that was asked for.
    pub fn forgotten(&self) -> Option<u64> {
        match self {
            Self::Refused(problem) if problem.status == 410 => problem.revision,
            _ => None,
        }
    }
}

/// Whether a refusal is about this moment, and not about what was asked for.
fn passes(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// What went wrong in the end: reqwest's own words only repeat the URL, with the token in it.
pub(super) fn causes(error: &reqwest::Error) -> String {
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
