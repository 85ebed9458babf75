//! Errors as problem documents (RFC 9457).

pub mod documented;
mod kind;
mod violation;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use convene_lifecycle::{AdministrationError, NodeDenial, Revision};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::json_response;
use crate::{
    access::Denial,
    connection::TooManyWaits,
    refusal::Refusal,
    registry::{Unavailable, WriteError},
    request_body::BodyError,
};

pub use kind::Kind;
pub use violation::{Violation, shown};

/// How many violations a response lists at most.
const MAX_VIOLATIONS: usize = 100;

/// A problem document (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:convene:problem:invalid-request",
    "title": "The request is not valid",
    "status": 400,
    "detail": "1 thing is wrong with the body",
    "violations": [{ "field": "size", "message": "must be a whole number from 1 to 1000, not 0" }]
}))]
pub struct Problem {
    /// The kind of problem, for programs. It does not change with the wording of `title` and `detail`.
    #[serde(rename = "type")]
    kind: Kind,
    /// The kind of problem, for people.
    title: &'static str,
    /// The HTTP status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened in this case, and what to do about it.
    detail: String,
    /// Everything that is wrong with the request, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    violations: Vec<Violation>,
    /// With `precondition-failed`: the current revision, for a retry. With `forgotten`: the oldest available revision,
    /// or the current revision if that is older than the requested one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    revision: Option<u64>,
    /// With `node-not-authenticated` and `node-not-admitted`: why the server does not admit the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "join-token-expired")]
    code: Option<&'static str>,
    /// With `node-not-admitted`: whether the same check-in may be admitted later. Left out if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    may_pass: bool,
}

impl Problem {
    /// A problem with a title and a detail only.
    pub fn new(kind: Kind, detail: impl ToString) -> Self {
        let (title, status) = (kind.title(), kind.status().as_u16());
        Self {
            kind,
            title,
            status,
            detail: detail.to_string(),
            violations: Vec::new(),
            revision: None,
            code: None,
            may_pass: false,
        }
    }

    /// Everything that is wrong with one part of a request: its body, query, path or headers.
    pub fn invalid(part: &str, mut violations: Vec<Violation>) -> Self {
        let count = violations.len();
        let detail = match count {
            1 => format!("1 thing is wrong with the {part}"),
            _ if count > MAX_VIOLATIONS => {
                format!("{count} things are wrong with the {part}; here are the first {MAX_VIOLATIONS}")
            }
            _ => format!("{count} things are wrong with the {part}"),
        };
        violations.truncate(MAX_VIOLATIONS);
        Self { violations, ..Self::new(Kind::InvalidRequest, detail) }
    }

    /// For the log. The messages of violations quote what was sent, which may be a token, so only the fields are named.
    fn refusal(&self) -> Refusal {
        let fields: Vec<&str> = self.violations.iter().map(Violation::field).take(10).collect();
        let separator = if fields.is_empty() { "" } else { ": " };
        let reason = format!("{}{separator}{}", self.detail, fields.join(", "));
        Refusal::new(reason).of_writes_only(self.kind == Kind::NotFound)
    }

    /// No cluster has the token.
    pub fn no_such_cluster() -> Self {
        Self::new(
            Kind::NotFound,
            "no cluster has this token or ID: it was never created, or it was deleted; GET /v1/clusters?name=NAME finds a cluster by name",
        )
    }

    /// The registry has no such API token.
    pub fn no_such_api_token() -> Self {
        Self::new(Kind::NotFound, "there is no API token with this ID; GET /v1/tokens lists them")
    }

    /// The cluster has no such member.
    pub fn no_such_member() -> Self {
        Self::new(Kind::NotFound, "the cluster has no member with this ID, present or removed")
    }

    /// The cluster's history goes back to `oldest` only.
    pub fn forgotten(oldest: Revision) -> Self {
        let detail = format!(
            "events before revision {oldest} have been deleted; read the cluster, and continue from its revision"
        );
        Self { revision: Some(oldest.0), ..Self::new(Kind::Forgotten, detail) }
    }

    /// The cluster has not reached the revision that a client has seen, so it is not the cluster that the client knows.
    pub fn unknown_revision(after: Revision, present: Revision) -> Self {
        let detail = format!(
            "the registry does not know revision {after}: the cluster is at revision {present}, so the registry may \
             have been restored from a backup; read the cluster, and continue from its revision"
        );
        Self { revision: Some(present.0), ..Self::new(Kind::Forgotten, detail) }
    }

    /// The database has lost events that a client has received.
    pub fn history_lost() -> Self {
        let detail = "the database has lost events that were returned before, for example in a failover, and other events have \
                      their revisions; read the events again from the first";
        Self { revision: Some(Revision::FIRST.0), ..Self::new(Kind::Forgotten, detail) }
    }

    /// Whether the events that come next for a client are not available.
    pub fn is_forgotten(&self) -> bool {
        self.kind == Kind::Forgotten
    }

    /// Whether the credential of the request is not valid, or not enough.
    pub fn is_denial(&self) -> bool {
        matches!(self.kind, Kind::Unauthenticated | Kind::Forbidden)
    }

    /// The cluster is not, or no longer, at the revision that the client expects.
    pub fn stale(present: Revision) -> Self {
        let detail = format!("the cluster is at revision {present}; read it again, then retry");
        Self { revision: Some(present.0), ..Self::new(Kind::PreconditionFailed, detail) }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::new(Kind::Unavailable, error)
    }
}

impl From<TooManyWaits> for Problem {
    fn from(error: TooManyWaits) -> Self {
        let kind = match error {
            TooManyWaits::OfAddress(_) => Kind::TooManyRequests,
            TooManyWaits::OfAll(_) => Kind::Overloaded,
        };
        Self::new(kind, error)
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unavailable(unavailable) => unavailable.into(),
            WriteError::Quota(exceeded) => Self::new(Kind::QuotaExceeded, exceeded),
            WriteError::TokenUsedUp => Self::new(Kind::TokenUsedUp, error),
        }
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let kind = match denial {
            Denial::Unavailable(_) => Kind::Unavailable,
            Denial::Forbidden { .. } => Kind::Forbidden,
            _ => Kind::Unauthenticated,
        };
        Self::new(kind, denial)
    }
}

impl From<AdministrationError> for Problem {
    fn from(error: AdministrationError) -> Self {
        let kind = match error {
            AdministrationError::NoSuchMember(_) => Kind::NotFound,
            AdministrationError::SizeIsFixed { .. }
            | AdministrationError::Removed(_)
            | AdministrationError::StillForming(_) => Kind::Conflict,
        };
        Self::new(kind, error)
    }
}

impl From<NodeDenial> for Problem {
    fn from(denial: NodeDenial) -> Self {
        let kind = if denial.is_unauthenticated() { Kind::NodeNotAuthenticated } else { Kind::NodeNotAdmitted };
        let detail = format!("{denial}; {}", denial.remedy());
        Self { code: Some(denial.code().as_str()), may_pass: denial.may_pass(), ..Self::new(kind, detail) }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::TooLarge => Kind::BodyTooLarge,
            BodyError::Late => Kind::BodyTooLate,
            BodyError::Broken(_) => Kind::InvalidRequest,
        };
        Self::new(kind, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json_response(self.kind.status(), &self);
        self.refusal().attach(&mut response);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(documented::PROBLEM_JSON));
        if matches!(self.kind, Kind::Unauthenticated | Kind::NodeNotAuthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"convene\""));
        }
        let retry_after = match self.kind {
            Kind::Unavailable => Some("1"),
            Kind::NodeNotAdmitted if self.may_pass => Some("1"),
            Kind::TooManyRequests | Kind::Overloaded => Some("5"),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// Responds to an unknown path.
pub async fn no_such_path() -> Problem {
    Problem::new(Kind::NotFound, "this API has no such path; see /docs/ for the paths")
}

/// Responds to a method that a path does not support. The router adds the header `Allow`.
pub async fn no_such_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "this path does not support this method; the header Allow lists the supported methods",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_serialized_as_documented() {
        let json = serde_json::to_value(Problem::stale(Revision(7))).unwrap();
        let expected = serde_json::json!({
            "type": "urn:convene:problem:precondition-failed",
            "title": "The precondition failed",
            "status": 412,
            "detail": "the cluster is at revision 7; read it again, then retry",
            "revision": 7,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_flood_of_violations_is_counted_and_cut_short() {
        let violations = vec![Violation::new("x", "is wrong"); 300];
        let problem = Problem::invalid("body", violations);
        assert_eq!(problem.violations.len(), MAX_VIOLATIONS);
        assert_eq!(problem.detail, "300 things are wrong with the body; here are the first 100");
    }

    #[test]
    fn an_unavailable_database_is_reported_with_retry_after() {
        let response = Problem::from(Unavailable).into_response();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
