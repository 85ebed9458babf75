use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemType)]
pub enum Kind {
    /// The body, the query, the path or a header is not valid.
    #[serde(rename = "urn:convene:problem:invalid-request")]
    InvalidRequest,
    /// The request has no valid credential.
    #[serde(rename = "urn:convene:problem:unauthenticated")]
    Unauthenticated,
    /// The credential is valid, and its role is not enough.
    #[serde(rename = "urn:convene:problem:forbidden")]
    Forbidden,
    /// The cluster, member or path does not exist.
    #[serde(rename = "urn:convene:problem:not-found")]
    NotFound,
    /// A web page of another site made a browser send the request.
    #[serde(rename = "urn:convene:problem:other-site")]
    OtherSite,
    /// The server does not know the host that the request names.
    #[serde(rename = "urn:convene:problem:misdirected")]
    Misdirected,
    /// The check-in shows nothing that speaks for its node. `code` is why.
    #[serde(rename = "urn:convene:problem:node-not-authenticated")]
    NodeNotAuthenticated,
    /// What the check-in shows does not speak for its node. `code` is why.
    #[serde(rename = "urn:convene:problem:node-not-admitted")]
    NodeNotAdmitted,
    /// The path does not support the method.
    #[serde(rename = "urn:convene:problem:method-not-allowed")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[serde(rename = "urn:convene:problem:body-too-late")]
    BodyTooLate,
    /// The request conflicts with the state of the cluster.
    #[serde(rename = "urn:convene:problem:conflict")]
    Conflict,
    /// The token belonged to a deleted cluster that had members.
    #[serde(rename = "urn:convene:problem:token-used-up")]
    TokenUsedUp,
    /// The requested events have been deleted, or the registry never had them.
    #[serde(rename = "urn:convene:problem:forgotten")]
    Forgotten,
    /// The cluster is not at the revision that `If-Match` names.
    #[serde(rename = "urn:convene:problem:precondition-failed")]
    PreconditionFailed,
    /// The body exceeds the limit.
    #[serde(rename = "urn:convene:problem:body-too-large")]
    BodyTooLarge,
    /// The `Content-Type` of the body is not JSON.
    #[serde(rename = "urn:convene:problem:unsupported-media-type")]
    UnsupportedMediaType,
    /// The client uses more of the server than it may; try again after `Retry-After` seconds.
    #[serde(rename = "urn:convene:problem:too-many-requests")]
    TooManyRequests,
    /// All clients together use as much of the server as they may; try again after `Retry-After` seconds.
    #[serde(rename = "urn:convene:problem:overloaded")]
    Overloaded,
    /// The registry has as many clusters, or as many bytes, as it may have.
    #[serde(rename = "urn:convene:problem:quota-exceeded")]
    QuotaExceeded,
    /// The database does not answer.
    #[serde(rename = "urn:convene:problem:unavailable")]
    Unavailable,
}

impl Kind {
    /// The title, which is the same for all problems of this kind.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::Unauthenticated => "A valid credential is needed",
            Self::Forbidden => "The role is not enough",
            Self::NotFound => "Not found",
            Self::OtherSite => "The request comes from another site",
            Self::Misdirected => "The server does not know this host",
            Self::NodeNotAuthenticated => "The node is not authenticated",
            Self::NodeNotAdmitted => "The node is not admitted",
            Self::MethodNotAllowed => "The path does not support this method",
            Self::BodyTooLate => "The body did not arrive in time",
            Self::Conflict => "The request conflicts with the current state",
            Self::TokenUsedUp => "The token was already used",
            Self::Forgotten => "The events are not available",
            Self::PreconditionFailed => "The precondition failed",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is not declared as JSON",
            Self::TooManyRequests => "Too many requests",
            Self::Overloaded => "The server is overloaded",
            Self::QuotaExceeded => "The registry can't take more",
            Self::Unavailable => "The database is not available",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::OtherSite => StatusCode::FORBIDDEN,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NodeNotAuthenticated => StatusCode::UNAUTHORIZED,
            Self::NodeNotAdmitted => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLate => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::TokenUsedUp => StatusCode::CONFLICT,
            Self::Forgotten => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
