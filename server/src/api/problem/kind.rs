use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The problems that this API tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemType)]
pub enum Kind {
    /// Something in the body, the query, the path or a header is not as it must be.
    #[serde(rename = "urn:convene:problem:invalid-request")]
    InvalidRequest,
    /// There is no such cluster, member or path.
    #[serde(rename = "urn:convene:problem:not-found")]
    NotFound,
    /// The path is there, but not for this method.
    #[serde(rename = "urn:convene:problem:method-not-allowed")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[serde(rename = "urn:convene:problem:body-too-late")]
    BodyTooLate,
    /// What is there already stands in the way.
    #[serde(rename = "urn:convene:problem:conflict")]
    Conflict,
    /// A cluster that members had registered in was deleted under this token.
    #[serde(rename = "urn:convene:problem:token-used-up")]
    TokenUsedUp,
    /// The events that were asked for have been forgotten, or the registry never had them.
    #[serde(rename = "urn:convene:problem:forgotten")]
    Forgotten,
    /// The cluster is not at the revision that `If-Match` names.
    #[serde(rename = "urn:convene:problem:precondition-failed")]
    PreconditionFailed,
    /// The body is larger than anything that is sent here.
    #[serde(rename = "urn:convene:problem:body-too-large")]
    BodyTooLarge,
    /// The body is not said to be JSON.
    #[serde(rename = "urn:convene:problem:unsupported-media-type")]
    UnsupportedMediaType,
    /// The database does not answer now.
    #[serde(rename = "urn:convene:problem:unavailable")]
    Unavailable,
}

impl Kind {
    /// What is said of it to people, whatever happened this time.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::BodyTooLate => "The body did not arrive in time",
            Self::Conflict => "Something else stands in the way",
            Self::TokenUsedUp => "The token is used up",
            Self::Forgotten => "The events have been forgotten",
            Self::PreconditionFailed => "The precondition does not hold",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is not said to be JSON",
            Self::Unavailable => "The database is not available",
        }
    }

    /// The answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLate => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::TokenUsedUp => StatusCode::CONFLICT,
            Self::Forgotten => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
